/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PKCS#11 module that is SoftHSM, but fails, lies or counts where a test says so. The test finds
 * p11_shim.so beside its own executable and gets its control through dlsym("shim_control").
 */
#ifndef P11_SHIM_H
#define P11_SHIM_H

#include <p11-kit/pkcs11.h>

#include <stdbool.h>

struct shim {
	/* this function answers rv, times times, after skip calls that go through */
	const char *function;
	CK_RV rv;
	unsigned skip;
	unsigned times;
	CK_ATTRIBUTE_TYPE flip; /* this boolean attribute is read inverted; 0: none */
	bool generate_lost;     /* C_GenerateKey makes a key and says that the session was closed */
	bool destroy_lies;      /* C_DestroyObject says OK and does nothing */
	/* C_DestroyObject says OK and keeps the object, whose handle reads as dead from then on.
	 * The last one that was kept so is still found by a search, or still decrypts, where these
	 * say so. */
	bool destroy_feigns;
	bool feigned_is_found;
	bool feigned_works;
	/* C_GenerateKeyPair and C_SignInit know no Ed25519; or C_Sign makes a wrong signature,
	 * which is one byte too short where ed25519_short says so. Nothing else is touched. */
	bool no_ed25519;
	bool ed25519_lies;
	bool ed25519_short;
	bool ed25519_weak; /* CKA_SENSITIVE of such a key reads false */
	bool encrypt_lies; /* C_Encrypt changes the first byte of a GCM answer */
	bool decrypt_lies; /* C_Decrypt takes any tag */
	unsigned logins;   /* calls of C_Login that were counted */
	CK_OBJECT_HANDLE feigned;
	CK_BYTE feigned_id[16]; /* handles change with C_Finalize */
	CK_FUNCTION_LIST_PTR real;
};
struct shim *shim_control(void);

#endif
