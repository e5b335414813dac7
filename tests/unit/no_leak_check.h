/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For one test that signs with Ed25519, in builds with AddressSanitizer: what it allocates is not
 * looked at for leaks, since SoftHSM 2.6.1 leaks 37 bytes with each such signature. A suite whose
 * tests all sign takes softhsm_leak.h instead, which is exact and slow.
 */
#ifndef NO_LEAK_CHECK_H
#define NO_LEAK_CHECK_H

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define LEAKS_ARE_CHECKED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(LEAKS_ARE_CHECKED)
#include <sanitizer/lsan_interface.h>
#endif

/* Each test is a process of its own, so it ends with the test. */
static inline void no_leak_check(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(LEAKS_ARE_CHECKED)
	__lsan_disable();
#endif
}

#endif
