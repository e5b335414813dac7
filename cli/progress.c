/* SPDX-License-Identifier: Apache-2.0 */
/* A progress bar on the terminal: how far, how fast, how long still. */
#include <stdio.h>

#include "cli_int.h"

enum { DRAW_MS = 100, BAR = 24 };

static void size_text(double bytes, char *text, size_t room)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	size_t unit = 0;
	while (bytes >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		bytes /= 1024;
		unit++;
	}
	(void)snprintf(text, room, "%.*f %s", unit == 0 ? 0 : 1, bytes, units[unit]);
}

static void draw(struct cli_progress *progress, uint64_t done, uint64_t total, int64_t now)
{
	char size[32];
	char speed[32];
	double seconds = (double)(now - progress->since_ms) / 1000;
	double rate = seconds > 0 ? (double)done / seconds : 0;
	size_text((double)done, size, sizeof(size));
	size_text(rate, speed, sizeof(speed));
	(void)fputs("\r\033[K", stderr);
	if (total > 0) {
		int filled = (int)((double)done / (double)total * BAR);
		filled = filled > BAR ? BAR : filled;
		(void)fprintf(stderr, "[%.*s%*s] %3d%%  ", filled, "########################",
			BAR - filled, "", (int)((double)done * 100 / (double)total));
	}
	(void)fprintf(stderr, "%s  %s/s", size, speed);
	if (total > done && rate > 0) {
		uint64_t left = (uint64_t)((double)(total - done) / rate + 0.5);
		(void)fprintf(
			stderr, "  %u:%02u left", (unsigned)(left / 60), (unsigned)(left % 60));
	}
	(void)fflush(stderr);
	progress->shown = true;
}

kms_err cli_progress_tell(void *arg, uint64_t done_bytes, uint64_t total_bytes)
{
	struct cli_progress *progress = arg;
	int64_t now = kms_monotonic_ms();
	if (progress->since_ms == 0) {
		progress->since_ms = now;
		progress->drawn_ms = now;
	}
	if (now - progress->drawn_ms >= DRAW_MS) {
		progress->drawn_ms = now;
		draw(progress, done_bytes, total_bytes, now);
	}
	return KMS_OK;
}

void cli_progress_end(struct cli_progress *progress)
{
	if (progress->shown) {
		(void)fputs("\r\033[K", stderr);
		progress->shown = false;
	}
}
