/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For builds with AddressSanitizer: SoftHSM 2.6.1 leaks the name of the curve, 37 bytes, with each
 * Ed25519 signature. What it leaks is passed over, and only that; to see whose an allocation in
 * OpenSSL is takes the slow unwinder.
 */
#ifndef SOFTHSM_LEAK_H
#define SOFTHSM_LEAK_H

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define SOFTHSM_LEAK
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(SOFTHSM_LEAK)
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__asan_default_options(void);

const char *__lsan_default_suppressions(void)
{
	return "leak:libsofthsm2.so\n";
}

const char *__asan_default_options(void)
{
	return "fast_unwind_on_malloc=0:malloc_context_size=10";
}
#endif

#endif
