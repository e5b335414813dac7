/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Laps for the programs of bench/. Times are taken with the monotonic clock; who reads them
 * compares laps of one run with each other, and never with those of another day.
 */
#include "lap.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SAMPLES = 100000 }; /* of one thread; later calls are counted, not kept */

struct lap {
	pthread_barrier_t start;
	lap_call call;
	void *arg;
	int64_t ns;
};

struct runner {
	struct lap *lap;
	pthread_t thread;
	unsigned number;
	kms_err err;
	uint64_t calls;
	int64_t began_ns, ended_ns;
	uint32_t *samples; /* ns of each call */
};

static int64_t now_ns(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void *run(void *arg)
{
	struct runner *runner = arg;
	struct lap *lap = runner->lap;
	runner->err = lap->call(lap->arg, runner->number);
	(void)pthread_barrier_wait(&lap->start);
	runner->began_ns = now_ns();
	int64_t last = runner->began_ns;
	while (kms_is_ok(runner->err) && last - runner->began_ns < lap->ns) {
		runner->err = lap->call(lap->arg, runner->number);
		int64_t now = now_ns();
		if (runner->calls < SAMPLES) {
			runner->samples[runner->calls] =
				now - last > UINT32_MAX ? UINT32_MAX : (uint32_t)(now - last);
		}
		runner->calls++;
		last = now;
	}
	runner->ended_ns = last;
	return NULL;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static kms_err say(const struct runner *runners, unsigned threads)
{
	uint64_t calls = 0;
	size_t kept = 0;
	int64_t began = runners[0].began_ns, ended = runners[0].ended_ns;
	uint32_t *all KMS_AUTO_FREE = calloc((size_t)threads * SAMPLES, sizeof(*all));
	if (all == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	for (unsigned i = 0; i < threads; i++) {
		const struct runner *runner = &runners[i];
		KMS_TRY(runner->err);
		size_t n = runner->calls < SAMPLES ? (size_t)runner->calls : SAMPLES;
		memcpy(all + kept, runner->samples, n * sizeof(*all));
		kept += n;
		calls += runner->calls;
		began = runner->began_ns < began ? runner->began_ns : began;
		ended = runner->ended_ns > ended ? runner->ended_ns : ended;
	}
	qsort(all, kept, sizeof(*all), compare);
	double seconds = (double)(ended - began) / 1e9;
	(void)printf("{\"calls\": %llu, \"seconds\": %.3f, \"per_second\": %.1f, "
		     "\"p50_us\": %.1f, \"p99_us\": %.1f}\n",
		(unsigned long long)calls, seconds, (double)calls / seconds, all[kept / 2] / 1e3,
		all[kept - 1 - kept / 100] / 1e3);
	return fflush(stdout) == 0 ? KMS_OK : KMS_ERR(IO);
}

static kms_err start_all(struct lap *lap, struct runner *runners, unsigned threads)
{
	for (unsigned i = 0; i < threads; i++) {
		runners[i] = (struct runner){.lap = lap, .number = i};
		runners[i].samples = malloc(SAMPLES * sizeof(uint32_t));
		/* Half a lap could not be told from a whole one, and would wait at its barrier. */
		KMS_ASSERT(runners[i].samples != NULL);
		KMS_ASSERT(pthread_create(&runners[i].thread, NULL, run, &runners[i]) == 0);
	}
	for (unsigned i = 0; i < threads; i++) {
		KMS_ASSERT(pthread_join(runners[i].thread, NULL) == 0);
	}
	return say(runners, threads);
}

kms_err lap_run(unsigned threads, unsigned ms, lap_call call, void *arg)
{
	struct lap lap = {.call = call, .arg = arg, .ns = (int64_t)ms * 1000000};
	struct runner *runners KMS_AUTO_FREE = calloc(LAP_THREADS_MAX, sizeof(*runners));
	if (runners == NULL || threads == 0 || threads > LAP_THREADS_MAX) {
		return KMS_ERR(ARGUMENT);
	}
	KMS_ASSERT(pthread_barrier_init(&lap.start, NULL, threads) == 0);
	kms_err err = start_all(&lap, runners, threads);
	for (unsigned i = 0; i < threads; i++) {
		free(runners[i].samples);
	}
	(void)pthread_barrier_destroy(&lap.start);
	return err;
}

kms_err lap_bytes(uint64_t bytes, lap_call call, void *arg)
{
	int64_t began = now_ns();
	KMS_TRY(call(arg, 0));
	int64_t ns = now_ns() - began;
	(void)printf("{\"bytes\": %llu, \"seconds\": %.4f, \"gb_per_second\": %.3f}\n",
		(unsigned long long)bytes, (double)ns / 1e9, (double)bytes / (double)ns);
	return fflush(stdout) == 0 ? KMS_OK : KMS_ERR(IO);
}

kms_err lap_once(const char *what, uint64_t count, lap_call call, void *arg)
{
	int64_t began = now_ns();
	KMS_TRY(call(arg, 0));
	(void)printf("{\"%s\": %llu, \"seconds\": %.6f}\n", what, (unsigned long long)count,
		(double)(now_ns() - began) / 1e9);
	return fflush(stdout) == 0 ? KMS_OK : KMS_ERR(IO);
}

bool lap_command(char *line, size_t size, const char *words[LAP_WORDS])
{
	if (fgets(line, (int)size, stdin) == NULL) {
		return false;
	}
	char *rest = line;
	for (size_t i = 0; i < LAP_WORDS; i++) {
		const char *word = strsep(&rest, " \n");
		words[i] = word == NULL ? "" : word;
	}
	return true;
}

unsigned lap_number(const char *word, unsigned max)
{
	char *end;
	unsigned long value = strtoul(word, &end, 10);
	return *word == '\0' || *end != '\0' || value > max ? 0 : (unsigned)value;
}
