/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two clocks and the text of a time. Runs in every program. UTC is for records, the monotonic
 * clock for time limits; they must never be mixed.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base.h"

/* 0000-01-01 and 9999-12-31T23:59:59.999: the years RFC 3339 can write. */
#define TIME_MIN_MS INT64_C(-62167219200000)
#define TIME_MAX_MS INT64_C(253402300799999)

static _Atomic int64_t fixed_unix_ms = -1;

static int64_t read_ms(clockid_t clock)
{
	struct timespec now;
	KMS_ASSERT(clock_gettime(clock, &now) == 0);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t kms_now_unix_ms(void)
{
	int64_t fixed = atomic_load(&fixed_unix_ms);
	return fixed >= 0 ? fixed : read_ms(CLOCK_REALTIME);
}

int64_t kms_monotonic_ms(void)
{
	return read_ms(CLOCK_MONOTONIC);
}

int64_t kms_boottime_ms(void)
{
	return read_ms(CLOCK_BOOTTIME);
}

void kms_clock_fix(int64_t unix_ms)
{
	atomic_store(&fixed_unix_ms, unix_ms);
}

const char *kms_time_text(int64_t unix_ms, char text[KMS_TIME_TEXT])
{
	unix_ms = unix_ms < TIME_MIN_MS ? TIME_MIN_MS : unix_ms;
	unix_ms = unix_ms > TIME_MAX_MS ? TIME_MAX_MS : unix_ms;
	int64_t from_min_ms = unix_ms - TIME_MIN_MS; /* not negative: / and % round down */
	time_t unix_s = from_min_ms / 1000 + TIME_MIN_MS / 1000;
	struct tm tm;
	KMS_ASSERT(gmtime_r(&unix_s, &tm) != NULL);
	/* The casts bound the digits, for -Wformat-truncation. */
	(void)snprintf(text, KMS_TIME_TEXT, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
		(unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
		(unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
		(unsigned)tm.tm_sec % 100, (unsigned)(from_min_ms % 1000));
	return text;
}

kms_err kms_time_parse(const char *text, int64_t *ret_unix_ms)
{
	/* 0 stands for a digit; everything else for itself. */
	static const char FORM[] = "0000-00-00T00:00:00.000Z";
	enum { SECONDS_END = 19, MS_END = 23 };
	char full[KMS_TIME_TEXT];
	size_t len = strlen(text);
	if (len == MS_END + 1) {
		memcpy(full, text, sizeof(full));
	} else if (len == SECONDS_END + 1) {
		memcpy(full, text, SECONDS_END);
		memcpy(full + SECONDS_END, ".000", MS_END - SECONDS_END);
		memcpy(full + MS_END, text + SECONDS_END, 2);
	} else {
		return KMS_ERR(FORMAT);
	}
	int part[7] = {0};
	size_t parts = 0;
	for (size_t i = 0; i < sizeof(FORM) - 1; i++) {
		if (FORM[i] != '0') {
			if (full[i] != FORM[i]) {
				return KMS_ERR(FORMAT);
			}
			parts++;
		} else if (full[i] < '0' || full[i] > '9') {
			return KMS_ERR(FORMAT);
		} else {
			part[parts] = part[parts] * 10 + (full[i] - '0');
		}
	}
	struct tm tm = {
		.tm_year = part[0] - 1900,
		.tm_mon = part[1] - 1,
		.tm_mday = part[2],
		.tm_hour = part[3],
		.tm_min = part[4],
		.tm_sec = part[5],
	};
	int64_t unix_ms = (int64_t)timegm(&tm) * 1000 + part[6];
	/* timegm() takes 31 February for 3 March: what does not come back the same is no time. */
	char again[KMS_TIME_TEXT];
	if (strcmp(kms_time_text(unix_ms, again), full) != 0) {
		return KMS_ERR(FORMAT);
	}
	*ret_unix_ms = unix_ms;
	return KMS_OK;
}
