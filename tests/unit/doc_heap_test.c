/* SPDX-License-Identifier: Apache-2.0 */
/* What jansson frees is wiped: a freed block that held a body's text holds it no more. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "doc.h"

/* glibc keeps its own links in the first 16 bytes of a free block. */
enum { LINKS = 16, LONG = 200 };

START_TEST(wipes_what_it_frees)
{
	char json[LONG + 16] = "[\"";
	memset(json + 2, 'K', LONG);
	memcpy(json + 2 + LONG, "\"]", 3);
	KMS_AUTO(doc) doc = NULL;
	ck_assert(kms_is_ok(doc_parse(kms_bytes_str(json), sizeof(json), &doc)));

	json_malloc_t allocate;
	json_free_t release;
	json_get_alloc_funcs(&allocate, &release);
	ck_assert(allocate == malloc);
	ck_assert(release != free);
	/* The next block of the size is the one just freed; it must be read before it is written.
	 */
	char *block = allocate(LONG);
	memset(block, 'K', LONG);
	release(block);
	char *again = allocate(LONG);
	for (size_t i = LINKS; i < LONG; i++) {
		ck_assert_int_ne(again[i], 'K');
	}
	release(again);
}
END_TEST

static void host_free(void *block)
{
	free(block);
}

START_TEST(leaves_a_foreign_allocator_alone)
{
	json_set_alloc_funcs(malloc, host_free);
	KMS_AUTO(doc) doc = NULL;
	ck_assert(kms_is_ok(doc_parse(kms_bytes_str("[]"), 2, &doc)));
	json_malloc_t allocate;
	json_free_t release;
	json_get_alloc_funcs(&allocate, &release);
	ck_assert(release == host_free);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("doc_heap");
	TCase *tcase = tcase_create("heap");
	tcase_add_test(tcase, wipes_what_it_frees);
	tcase_add_test(tcase, leaves_a_foreign_allocator_alone);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
