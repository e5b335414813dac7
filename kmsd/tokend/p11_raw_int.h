/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files p11*.c share with each other and with nobody else: the raw PKCS#11 types, struct
 * p11, and the one way to call a function that may have to be repeated (p11_attempt).
 */
#ifndef KMS_P11_RAW_INT_H
#define KMS_P11_RAW_INT_H

#include <p11-kit/pkcs11.h>

#include "p11_int.h"
#include "pkcs11_more_int.h"

/* PKCS#11's prototypes lack const where they only read (v2.40, 5.2 and after): lend the bytes. */
static inline CK_BYTE_PTR p11_lend(const void *bytes)
{
	return (CK_BYTE_PTR)(uintptr_t)bytes;
}

/* ---- the module and the token's directory (p11_module.c) ---- */

/* A loaded and, mostly, initialised module. */
struct p11_module {
	void *library;
	CK_FUNCTION_LIST_PTR fn;
	bool initialised;
	struct kms_hash hash; /* of its file */
};

/* CONFIG for a profile with a bad path, label or directory (mode, owner). */
kms_err p11_profile_check(const struct p11_profile *profile);
/* Hash the file, check the pinned hash, dlopen, C_GetFunctionList. */
kms_err p11_module_load(const struct p11_profile *profile, struct p11_module *ret_module);
kms_err p11_module_initialise(struct p11_module *module, const struct p11_profile *profile);
void p11_module_finalise(struct p11_module *module);
void p11_module_unload(struct p11_module *module); /* finalises first; accepts {0} */

/* The lock file of the token's directory, held by one process at a time. */
kms_err p11_lock_open(const struct p11_profile *profile, int *ret_fd);
kms_err p11_lock_take(int fd); /* TIMEOUT after P11_LOCK_WAIT_MS */
void p11_lock_drop(int fd);

/* ---- SoftHSM's quirks (p11_softhsm.c); each does nothing without profile->softhsm ---- */

/* Write the configuration, set SOFTHSM2_CONF: before dlopen. */
kms_err p11_softhsm_configure(const struct p11_profile *profile);
/* Put back a token.object that a killed C_Login left cut; before C_Initialize, under the lock. */
kms_err p11_softhsm_repair(const struct p11_profile *profile);
/* Keep a copy of token.object; after C_Login, under the lock. */
kms_err p11_softhsm_keep(const struct p11_profile *profile);
/* fsync every file and folder of the token: SoftHSM never does. */
kms_err p11_softhsm_sync(const struct p11_profile *profile);
/* Calls act for each token folder: DIR/tokens/NAME. */
kms_err p11_softhsm_each(const struct p11_profile *profile,
	kms_err (*act)(const char *folder, const char *name, void *arg), void *arg);
/* Object files that are cut or empty: calls found(arg, name) for each. */
kms_err p11_softhsm_litter(const struct p11_profile *profile,
	kms_err (*found)(void *arg, const char *file), void *arg);
/* Remove one of them; NOT_FOUND when no such file is there, ARGUMENT when it is a whole object. */
kms_err p11_softhsm_litter_remove(const struct p11_profile *profile, const char *file);

/* ---- the token (p11_open.c) ---- */

struct p11 {
	const struct p11_profile *profile;
	struct p11_pins pins;
	struct kms_secret *pin; /* NULL once it was refused, and without profile->login */
	struct p11_module module;
	int lock;
	CK_SLOT_ID slot;
	CK_SESSION_HANDLE session; /* CK_INVALID_HANDLE: none */
	CK_OBJECT_HANDLE canary;   /* CK_INVALID_HANDLE: look for it */
	uint64_t epoch;            /* counts logins: handles of an older one are looked for again */
	struct p11_facts facts;
};

static inline bool p11_pin_refused(const struct p11 *p11)
{
	return p11->profile->login && p11->pin == NULL;
}

/* Look at the session and the login and mend what is lost; with renew, open another session in any
 * case. A new login begins a new epoch. */
kms_err p11_session_mend(struct p11 *p11, bool renew);
/* CKA_ID of the canary key: SHA-256("kmsd/canary/1")[0..16]. */
extern const struct kms_id p11_canary_id;
/* Make the canary key in the open session, and read its known answer. */
kms_err p11_canary_make(struct p11 *p11, struct kms_hash *ret_answer); /* p11_kek.c */

/* ---- recovery (p11_recover.c) ---- */

/* What a CK_RV says about whose fault it is. */
enum p11_rv_class {
	P11_RV_OK,
	P11_RV_STALE,      /* a handle or the login: mend, find again, repeat */
	P11_RV_SESSION,    /* the session: open another, repeat */
	P11_RV_DOUBTFUL,   /* may be anybody's: the canary decides */
	P11_RV_CIPHERTEXT, /* the ciphertext, when we decrypt */
	P11_RV_REFUSED,    /* the token does not do what we asked */
	P11_RV_PIN,        /* never repeated */
	P11_RV_FULL,       /* no room for an object */
	P11_RV_DOWN,       /* the device is gone */
};
enum p11_rv_class p11_rv_class(CK_RV rv);
const char *p11_rv_name(CK_RV rv); /* "CKR_GENERAL_ERROR", "CKR_?" */

/* A call without recovery: its failure translated and logged. For start and stop. */
kms_err p11_rv_error(CK_RV rv, const char *function);

/* The object that a call uses: its handle is found again when it went stale. */
struct p11_ref {
	CK_OBJECT_CLASS class;
	const struct kms_id *id;
	unsigned long *object;
	uint64_t *epoch;
};
/*
 * Call the token: one function, or init and function; object is CK_INVALID_HANDLE without a ref.
 * When it fails, mend and repeat once, and then judge by class and canary: the errors that
 * p11_int.h lists at its head. doubt is what a doubtful or ciphertext failure means while the
 * canary is well: INTEGRITY for a decryption, INTERNAL else. ref may be NULL.
 */
kms_err p11_attempt(struct p11 *p11, const char *function, const struct p11_ref *ref,
	enum kms_code doubt, CK_RV (*call)(struct p11 *p11, CK_OBJECT_HANDLE object, void *arg),
	void *arg);
/* OK when the canary gives its known answer. PINS: another answer. TOKEN_DOWN: none. It mends the
 * session and login on its way: what a search did not find before a new epoch says nothing. */
kms_err p11_canary_check(struct p11 *p11);
/* The same for callers in service: OK, CONFIG (the PIN was refused), or TOKEN_DOWN. */
kms_err p11_canary_ask(struct p11 *p11);

/* ---- objects (p11_object.c; p11_list.c) ---- */

#define P11_KEK_LABEL "kmsd kek"
enum { P11_KEK_BYTES = 32 };
/* Handles of the token's objects with that class and CKA_ID, at most max of them. */
CK_RV p11_raw_find(struct p11 *p11, CK_OBJECT_CLASS class, const struct kms_id *id,
	CK_OBJECT_HANDLE *ret_objects, CK_ULONG max, CK_ULONG *ret_count);
/* The one object with that class and id. NOT_FOUND once the canary is well; EXISTS for several. */
kms_err p11_find_one(struct p11 *p11, CK_OBJECT_CLASS class, const struct kms_id *id,
	CK_OBJECT_HANDLE *ret_object);
/* EXISTS when something has that class and id; OK once the canary is well. */
kms_err p11_expect_none(struct p11 *p11, CK_OBJECT_CLASS class, const struct kms_id *id);
/* A boolean attribute, UNKNOWN when the token does not have it. */
kms_err p11_attribute_flag(
	struct p11 *p11, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, enum p11_flag *ret_flag);
/* A CK_ULONG attribute; CK_UNAVAILABLE_INFORMATION when the token does not have it. */
kms_err p11_attribute_ulong(
	struct p11 *p11, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, CK_ULONG *ret_value);
/* Bytes of an attribute into room for max; length 0 when it is empty or the token lacks it. */
kms_err p11_attribute_bytes(struct p11 *p11, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
	void *ret_bytes, size_t max, size_t *ret_len);
/* Destroy by handle and confirm that the handle is dead and the canary is well; fsync. NOT_FOUND
 * when it was dead before. TOKEN_DOWN when the handle is of another epoch: look for it again. */
kms_err p11_destroy_confirmed(struct p11 *p11, CK_OBJECT_HANDLE object, uint64_t epoch);
/* What is asked of an attribute of a new object when it is read back. */
struct p11_expected {
	CK_ATTRIBUTE_TYPE type;
	enum p11_flag flag;
	const char *name;
};
/* CONFIG, logged, when one of them is other than expected or unknown. */
kms_err p11_attributes_expect(struct p11 *p11, CK_OBJECT_HANDLE object,
	const struct p11_expected *expected, size_t count);
/* Hold the lock file round making or destroying, where the profile wants it. */
kms_err p11_create_begin(struct p11 *p11);
void p11_create_end(struct p11 *p11);

/* ---- blocks (p11_use.c) ---- */

enum { P11_BLOCK = 16 };
/* The two blocks that a key's commitment (the ledger's `kc`) is the SHA-256 of. */
CK_RV p11_raw_commit_blocks(
	struct p11 *p11, CK_OBJECT_HANDLE key, uint8_t ret_blocks[2 * P11_BLOCK]);
/* AES-ECB over whole blocks (PKCS#11 v2.40 mechanisms, 2.8.6). Known-answer tests only. */
CK_RV p11_raw_ecb(
	struct p11 *p11, CK_OBJECT_HANDLE key, const uint8_t *in, size_t len, uint8_t *ret_out);

#endif
