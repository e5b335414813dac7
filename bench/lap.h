/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs of bench/ share: a timed lap of one call, and the line that tells of it. */
#ifndef BENCH_LAP_H
#define BENCH_LAP_H

#include "base.h"

enum { LAP_THREADS_MAX = 64 };

/* Called again and again by each thread; `thread` counts from 0. */
typedef kms_err (*lap_call)(void *arg, unsigned thread);

/*
 * Every thread makes one call that is not counted (it opens connections), they meet, and all call
 * until ms are over. Prints one line of JSON: calls, seconds, calls a second, median and 99th
 * percentile of a call in microseconds. The first error of any thread ends the lap.
 */
kms_err lap_run(unsigned threads, unsigned ms, lap_call call, void *arg);

/* The same for one long call: prints how many bytes a nanosecond, which is GB/s. */
kms_err lap_bytes(uint64_t bytes, lap_call call, void *arg);

/* The same for one call that does `count` of something: prints {what: count, "seconds": ...}. */
kms_err lap_once(const char *what, uint64_t count, lap_call call, void *arg);

/* Words of one line of standard input; false at its end. */
enum { LAP_WORDS = 4 };
bool lap_command(char *line, size_t size, const char *words[LAP_WORDS]);
/* A number of 1 .. max, or 0 for what is none. */
unsigned lap_number(const char *word, unsigned max);

#endif
