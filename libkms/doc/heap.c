/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jansson's heap, wiped when it is freed: a body of `clear` delivery passes through it. Runs in
 * every program that speaks JSON. libkms lives in foreign processes, so this must never keep a
 * header of its own before a block: what the process gave jansson before goes through the same
 * free() afterwards.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "doc_int.h"

static void free_wiped(void *block)
{
	if (block != NULL) {
		explicit_bzero(block, malloc_usable_size(block));
		free(block);
	}
}

static void install(void)
{
	json_malloc_t allocate;
	json_free_t release;
	json_get_alloc_funcs(&allocate, &release);
	/* A process that brought its own allocator keeps it, and its wiping is its own. */
	if (allocate == malloc && release == free) {
		json_set_alloc_funcs(malloc, free_wiped);
	}
}

void doc_heap_wipe(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, install);
}
