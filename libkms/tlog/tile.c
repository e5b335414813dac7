/* SPDX-License-Identifier: Apache-2.0 */
/* Names and sizes of tiles (C2SP tlog-tiles): what a tree of a size has. No files here. */
#include <stdio.h>

#include "tlog.h"

uint64_t tlog_tile_hashes(uint64_t size, unsigned level)
{
	unsigned shift = level * TLOG_TILE_HEIGHT;
	return shift < 64 ? size >> shift : 0;
}

const char *tlog_tile_path(
	unsigned level, uint64_t index, unsigned width, char text[TLOG_TILE_PATH])
{
	char groups[TLOG_TILE_PATH];
	size_t at = sizeof(groups) - 1;
	KMS_ASSERT(level < TLOG_LEVELS && width > 0 && width <= TLOG_TILE_WIDTH);
	groups[at] = '\0';
	/* From the last group of three digits to the first; all but the last begin with "x". */
	for (bool last = true; last || index > 0; last = false) {
		for (int i = 0; i < 3; i++, index /= 10) {
			groups[--at] = (char)('0' + index % 10);
		}
		if (!last) {
			groups[--at] = 'x';
		}
		groups[--at] = '/';
	}
	int len = width < TLOG_TILE_WIDTH
			  ? snprintf(text, TLOG_TILE_PATH, "tile/%u%s.p/%u", level, &groups[at],
				    width)
			  : snprintf(text, TLOG_TILE_PATH, "tile/%u%s", level, &groups[at]);
	KMS_ASSERT(len > 0 && len < TLOG_TILE_PATH);
	return text;
}
