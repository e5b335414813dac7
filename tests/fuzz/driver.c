/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target as an ordinary test, without libFuzzer: first each file of the corpus as it
 * is, then changed copies of them. The random numbers are fixed, so a failure comes again with the
 * same corpus and count. Each input lies in memory of exactly its size, where ASan sees one byte
 * too many.
 *
 *   fuzz_NAME CORPUS-FOLDER [RUNS]
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"
#include "fuzz.h"

enum {
	DEFAULT_RUNS = 20000,
	SEEDS_MAX = 256,
	INPUT_MAX = 64 * 1024,
	CHANGES_MAX = 4, /* to one input */
};

struct corpus {
	struct kms_buf seeds[SEEDS_MAX];
	size_t count;
};

/* xorshift64 (Marsaglia 2003): good enough to change bytes. */
static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static size_t random_below(uint64_t *state, size_t bound)
{
	return (size_t)(random_next(state) % bound);
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static kms_err corpus_read(const char *folder, struct corpus *corpus)
{
	struct dirent **names = NULL;
	int count = scandir(folder, &names, visible, alphasort);
	kms_err err = count > 0 && count <= SEEDS_MAX ? KMS_OK : KMS_ERR(NOT_FOUND);
	for (int i = 0; i < count; i++) {
		KMS_AUTO_FREE char *path = NULL;
		if (kms_is_ok(err)) {
			err = kms_text(&path, "%s/%s", folder, names[i]->d_name);
		}
		if (kms_is_ok(err)) {
			err = kms_file_read(path, INPUT_MAX, &corpus->seeds[corpus->count]);
			corpus->count += kms_is_ok(err) ? 1 : 0;
		}
		free(names[i]);
	}
	free(names);
	return err;
}

static void corpus_free(struct corpus *corpus)
{
	for (size_t i = 0; i < corpus->count; i++) {
		kms_buf_free(&corpus->seeds[i]);
	}
}

static void run(const uint8_t *bytes, size_t len)
{
	uint8_t *exact = malloc(len);
	KMS_ASSERT(exact != NULL || len == 0);
	if (len > 0) {
		memcpy(exact, bytes, len);
	}
	KMS_ASSERT(LLVMFuzzerTestOneInput(exact, len) == 0);
	free(exact);
}

/* Put count bytes at `at`, moving what follows. */
static void insert(uint8_t *input, size_t *len, size_t at, const uint8_t *bytes, size_t count)
{
	if (count > 0 && count <= INPUT_MAX - *len) {
		memmove(input + at + count, input + at, *len - at);
		memcpy(input + at, bytes, count);
		*len += count;
	}
}

/* One change: a bit, a byte, a new byte, a piece out, a piece doubled, a piece of another seed, an
 * end. */
static void change(const struct corpus *corpus, uint64_t *state, uint8_t *input, size_t *len)
{
	static const uint8_t odd[] = {0x00, 0x01, 0x7f, 0x80, 0xff, '\n', ' ', '"', '+', '0'};
	const struct kms_buf *other = &corpus->seeds[random_below(state, corpus->count)];
	size_t at = random_below(state, *len + 1);
	size_t count = random_below(state, *len - at + 1) % (1 + random_below(state, 64));
	uint8_t piece[64];
	switch (random_below(state, 7)) {
	case 0:
		if (at < *len) {
			input[at] ^= (uint8_t)(1U << random_below(state, 8));
		}
		break;
	case 1:
		if (at < *len) {
			input[at] = odd[random_below(state, sizeof(odd))];
		}
		break;
	case 2:
		insert(input, len, at, &odd[random_below(state, sizeof(odd))], 1);
		break;
	case 3:
		memmove(input + at, input + at + count, *len - at - count);
		*len -= count;
		break;
	case 4:
		memcpy(piece, input + at, count);
		insert(input, len, random_below(state, *len + 1), piece, count);
		break;
	case 5:
		if (other->len > 0) {
			size_t from = random_below(state, other->len);
			insert(input, len, at, other->ptr + from,
				random_below(state, other->len - from + 1));
		}
		break;
	default:
		*len = at;
		break;
	}
}

static void run_changed(const struct corpus *corpus, unsigned long runs)
{
	static uint8_t input[INPUT_MAX];
	uint64_t state = 0x6b6d7364; /* any number but 0 */
	for (unsigned long i = 0; i < runs; i++) {
		const struct kms_buf *seed = &corpus->seeds[random_below(&state, corpus->count)];
		size_t len = seed->len;
		if (len > 0) {
			memcpy(input, seed->ptr, len);
		}
		for (size_t n = 1 + random_below(&state, CHANGES_MAX); n > 0; n--) {
			change(corpus, &state, input, &len);
		}
		run(input, len);
	}
}

int main(int argc, char **argv)
{
	if (argc != 2 && argc != 3) {
		(void)fprintf(stderr, "usage: %s CORPUS-FOLDER [RUNS]\n", argv[0]);
		return EXIT_FAILURE;
	}
	unsigned long runs = argc == 3 ? strtoul(argv[2], NULL, 10) : DEFAULT_RUNS;
	static struct corpus corpus;
	kms_err err = corpus_read(argv[1], &corpus);
	if (!kms_is_ok(err)) { /* an empty corpus would be a test that cannot fail */
		(void)fprintf(stderr, "%s: no corpus: %s\n", argv[1], kms_err_text(err));
		return EXIT_FAILURE;
	}
	for (size_t i = 0; i < corpus.count; i++) {
		run(corpus.seeds[i].ptr, corpus.seeds[i].len);
	}
	run_changed(&corpus, runs);
	(void)printf("%zu seeds, %lu changed inputs\n", corpus.count, runs);
	corpus_free(&corpus);
	return EXIT_SUCCESS;
}
