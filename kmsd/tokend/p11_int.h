/* SPDX-License-Identifier: Apache-2.0 */
/*
 * p11: the PKCS#11 token of one kms-tokend. The files p11*.c are the only ones that include
 * <p11-kit/pkcs11.h>, load a vendor's module and hold the PIN; the rest of kms-tokend stands on
 * this header.
 *
 * One thread uses a struct p11, and a process has one at a time: a PKCS#11 module is global to
 * its process. Never fork after p11_open or p11_init_token (children of SoftHSM and NSS go on
 * with the parent's login, or hang: start helpers before). Opening ignores SIGPIPE for the
 * process, since modules that talk to a server raise it.
 *
 * Every function that touches the token answers with one of these, besides its own errors:
 *   TOKEN_DOWN  the token does not answer, and the canary says so too: tell callers to come
 *               back, call p11_reopen() with back-off (P11_BACKOFF_*), serve again when it is OK
 *   NOT_FOUND   the object is not in the token, and the canary is: it is really gone
 *   INTEGRITY   decryption refused the ciphertext, and the canary is well
 *   CONFIG      the PIN, profile or template is refused: a person must act; never tried again
 *   INTERNAL    the token refuses what we asked, and the canary is well
 * A stale handle, closed session or lost login is mended inside, once, before an answer.
 */
#ifndef KMS_P11_INT_H
#define KMS_P11_INT_H

#include "base.h"
#include "limits.h"

struct p11;

enum {
	P11_GCM_NONCE = 12,
	P11_GCM_TAG = 16,
	P11_GCM_MAX = 4096, /* bytes of plaintext or AAD in one call */
	P11_POINT = 65,     /* uncompressed P-256 point: 04 || x || y */
	P11_ED25519 = 32,   /* Ed25519 public key (RFC 8032 section 5.1.5) */
	P11_SIG = 64,       /* r || s; Ed25519: R || S */
	P11_LABEL_MAX = 32, /* bytes of a token's or object's label (CK_TOKEN_INFO.label) */
	P11_PATH_MAX = 1024,
	P11_MODULE_MAX = 64 * 1024 * 1024, /* bytes of a module's file */
	P11_LOCK_WAIT_MS = 10 * 1000,      /* for the lock file of the token's directory */
	P11_BACKOFF_MIN_MS = 50,           /* between calls of p11_reopen */
	P11_BACKOFF_MAX_MS = 5000,
	P11_OBJECTS_MAX = LIMIT_KEYS + 16, /* secret keys of one token, leftovers included */
};

/* ---- the profile: what a pkcs11-profiles/ file says of one kind of token ---- */

/* Borrowed texts; they live as long as the struct p11 that was opened with them. */
struct p11_profile {
	const char *module; /* absolute path of the shared object */
	const char
		*init_args; /* C_INITIALIZE_ARGS.pReserved, for modules that want a text; or NULL */
	const char *label;  /* CKA_LABEL of the token, at most P11_LABEL_MAX bytes */
	/* kms-tokend's own directory for this token, mode 0700, absolute: the lock file, and with
	 * softhsm its configuration, its token and the copy of token.object. */
	const char *dir;
	const struct kms_hash *module_hash; /* refuse (PINS) a module file with another; or NULL */
	bool login;                         /* the token wants C_Login with the PIN */
	bool serialise_create; /* hold the lock file while an object is made or destroyed */
	/*
	 * SoftHSM 2's quirks: write dir/softhsm2.conf and point SOFTHSM2_CONF at it before dlopen;
	 * keep a copy of token.object and put it back when a killed C_Login left it cut; fsync its
	 * files after each change, which it does not; find object files that a killed C_GenerateKey
	 * left.
	 */
	bool softhsm;
};

/* What is known of a token from its making on: keep it durably with the token id. */
struct p11_pins {
	char serial[17];        /* "": not known yet, find the token by label alone */
	struct kms_hash canary; /* the canary key's commitment: its known answer */
};

/* CK_TOKEN_INFO with its blanks trimmed, and the module's file: the ledger's `tok`. */
struct p11_facts {
	char manufacturer[33];
	char model[17];
	char serial[17];
	char firmware[17]; /* "2.6" */
	struct kms_hash module;
};

/* ---- life (p11_open.c) ---- */

/*
 * Make a new token: C_InitToken with a random SO PIN that is kept nowhere (so nobody can reset
 * the user PIN), C_InitPIN, and the canary key. For `kms-tokend --init`. EXISTS when a token has
 * that label already, NOT_FOUND when no slot holds a token that was never initialised. On an error
 * the token is half made: throw its directory away.
 */
kms_err p11_init_token(
	const struct p11_profile *profile, struct kms_secret *pin, struct p11_pins *ret_pins);

/*
 * Load the module, log in, open the one long-lived R/W session, and check the canary against its
 * pinned answer (PINS when it is another: this is not our token). Waits up to P11_LOCK_WAIT_MS for
 * the lock file (TIMEOUT). *pin is taken (set to NULL) whatever the result, kept in secret memory
 * for p11_reopen and wiped by p11_free; it may be NULL without profile->login. A wrong PIN is
 * CONFIG; it is not tried a second time. The profile is borrowed until p11_free.
 */
kms_err p11_open(const struct p11_profile *profile, const struct p11_pins *pins,
	struct kms_secret **pin, struct p11 **ret_p11);

/*
 * After TOKEN_DOWN: C_Finalize, C_Initialize, log in, check the canary. On an error the struct
 * stays usable, answers TOKEN_DOWN to everything and may be reopened again; after CONFIG (the PIN
 * was refused) every further call answers CONFIG. Handles are found again by themselves.
 */
kms_err p11_reopen(struct p11 *p11);

/* Log out, finalise, wipe the PIN. Accepts NULL. */
void p11_free(struct p11 **p11);

const struct p11_facts *p11_token_facts(const struct p11 *p11);

/* Health and watchdog: OK when the canary key gives its known answer, else TOKEN_DOWN. Cheap
 * (one C_Encrypt of two blocks); it blocks as long as the module does. */
kms_err p11_ping(struct p11 *p11);

/* ---- KEKs (p11_kek.c, p11_object.c, p11_list.c) ---- */

/* A boolean attribute of a token that may not know it. */
enum p11_flag { P11_NO = 0, P11_YES = 1, P11_UNKNOWN = 2 };

/* Read back from the token after generation; for the birth statement and the ledger's `obj`. */
struct p11_kek_facts {
	char unique_id[65]; /* CKA_UNIQUE_ID (PKCS#11 v3.0); "" where the token has none: SoftHSM */
	uint32_t bits;      /* 256: AES */
	/* always as asked for, or generation fails */
	bool sensitive;         /* true */
	bool extractable;       /* false */
	bool always_sensitive;  /* true */
	bool never_extractable; /* true */
	bool local;             /* true */
	/* where the token knows them */
	enum p11_flag copyable;          /* NO is asked for */
	enum p11_flag destroyable;       /* never NO */
	enum p11_flag modifiable;        /* NO is asked for */
	enum p11_flag wrap_with_trusted; /* of no weight: the key is not extractable at all */
	bool mechanisms_limited; /* CKA_ALLOWED_MECHANISMS is {AES_GCM, AES_ECB} and was read back
				  */
	/* SHA-256(E(SHA-256("kmsd/commit/1/a")[0..12] || ffffffff) ||
	 *         E(SHA-256("kmsd/commit/1/b")[0..12] || ffffffff)): the ledger's `kc` */
	struct kms_hash commitment;
};

/* One KEK's handle. Plain data that the caller keeps as a cache, one per KEK; `object` and `epoch`
 * are p11's own and change when a handle went stale. */
struct p11_kek {
	struct kms_id id; /* CKA_ID */
	unsigned long object;
	uint64_t epoch;
};

/*
 * Make an AES-256 KEK under that CKA_ID: sensitive, not extractable, not copyable, encrypt and
 * decrypt only; read every attribute back and refuse (CONFIG) a weaker one; known-answer test
 * (GCM against the token's own AES-ECB, both ways, and a changed tag); fsync. Nothing is left in
 * the token on an error but what a token that is down cannot destroy: the start-up sweep. EXISTS
 * when an object has that id.
 */
kms_err p11_kek_generate(struct p11 *p11, const struct kms_id *id, struct p11_kek *ret_kek,
	struct p11_kek_facts *ret_facts);

/* NOT_FOUND: no such object, and the canary is well. EXISTS: more than one has this CKA_ID. */
kms_err p11_kek_find(struct p11 *p11, const struct kms_id *id, struct p11_kek *ret_kek);

/* The commitment of a KEK as the token computes it now: compare it with its birth. */
kms_err p11_kek_commitment(struct p11 *p11, struct p11_kek *kek, struct kms_hash *ret_commitment);

/*
 * Destroy a KEK and confirm it: OK only when C_DestroyObject said so, a new search does not find
 * it, the canary is well, and the change is on disk. NOT_FOUND when it was not there (confirmed
 * by the canary). TOKEN_DOWN or INTERNAL: not confirmed; ask again.
 */
kms_err p11_kek_destroy(struct p11 *p11, const struct kms_id *id);

/* One thing in the token that is, or was to become, a KEK. */
struct p11_object {
	struct kms_id id; /* zero when it has none */
	/* AES-256 with an id, our label, and an answer to a test encryption. A thing that is not
	 * whole is what a killed C_GenerateKey left: it was never born. */
	bool whole;
	/* An AES key that answers: its commitment, whatever its id and label say; else zero. */
	struct kms_hash commitment;
	unsigned long object; /* p11's own, as is epoch */
	uint64_t epoch;
	char file[64]; /* SoftHSM: an object file that is no object (cut or empty); "" else */
};
/*
 * Every secret key of the token but the canary, in no order: for the start-up sweep. It covers
 * objects without id, label or value, and with profile->softhsm files that PKCS#11 does not show.
 * *ret_objects is the caller's, to be freed with free(). TOO_LARGE past P11_OBJECTS_MAX.
 */
kms_err p11_object_list(struct p11 *p11, struct p11_object **ret_objects, size_t *ret_count);

/*
 * Destroy one listed thing and confirm it as p11_kek_destroy does; TOKEN_DOWN also when the token
 * was opened or logged in anew since: list again. Before sweeping things that have a file or no id,
 * see that every committed KEK is found: a damaged disk may have made one of them unreadable, and
 * its remains are evidence.
 */
kms_err p11_object_destroy(struct p11 *p11, const struct p11_object *object);

/* ---- the end of a KEK, and of a token (p11_erase.c, p11_wipe.c) ---- */

/* What was seen while a KEK was destroyed. */
struct p11_erased {
	bool found;         /* it was there, with that commitment */
	unsigned long rv;   /* CK_RV of C_DestroyObject */
	bool canary_before; /* what it had just encrypted, it opened */
	uint32_t searched;  /* secret keys looked at afterwards; none is it */
};
/*
 * Destroy every object of the token that has this commitment, whatever its id, and see that it is
 * gone: what it encrypted just before does not open with the old handle, nor after everything that
 * the module held was closed and opened anew; no secret key has its id or commitment. OK also when
 * nothing was there (found false). INTEGRITY, and nothing is destroyed: another key has that id.
 * INTERNAL: the token did not do what it said.
 */
kms_err p11_kek_erase(struct p11 *p11, const struct kms_id *id, const struct kms_hash *commitment,
	struct p11_erased *ret_erased);
/* Is it there, and the one with that commitment? NOT_FOUND, INTEGRITY for another under its id. */
kms_err p11_kek_is_there(
	struct p11 *p11, const struct kms_id *id, const struct kms_hash *commitment);

/* Can a token of this kind be wiped? Else its owner does it, with the vendor's tools. */
bool p11_wipe_can(const struct p11_profile *profile);
/* The token must be closed (p11_free). Overwrite each file of it with random bytes, the file of its
 * own key and our copy of that included, and fsync; *ret_whole: that file was still there. */
kms_err p11_wipe_overwrite(const struct p11_profile *profile, bool *ret_whole);
/* Remove the files and folders. Both can be repeated. */
kms_err p11_wipe_remove(const struct p11_profile *profile);

/* ---- use (p11_use.c) ---- */

/*
 * CKM_AES_GCM in the token (SP 800-38D, PKCS#11 v3.0 section 2.12.3), 128-bit tag. ret_out has
 * room for the plaintext's length + P11_GCM_TAG: ciphertext || tag. TOO_LARGE past P11_GCM_MAX.
 * NOT_FOUND when the KEK is gone.
 */
kms_err p11_gcm_encrypt(struct p11 *p11, struct p11_kek *kek, const uint8_t nonce[P11_GCM_NONCE],
	struct kms_bytes aad, const struct kms_secret *in, uint8_t *ret_out);
/* in is ciphertext || tag (TRUNCATED when it is no longer than a tag). INTEGRITY when the token
 * refuses it while the canary is well: SoftHSM says CKR_GENERAL_ERROR then. */
kms_err p11_gcm_decrypt(struct p11 *p11, struct p11_kek *kek, const uint8_t nonce[P11_GCM_NONCE],
	struct kms_bytes aad, struct kms_bytes in, struct kms_secret **ret_out);

/* C_GenerateRandom into secret memory; 1 .. KMS_SECRET_MAX bytes. */
kms_err p11_random(struct p11 *p11, size_t len, struct kms_secret **ret_random);

/* ---- signing keys of the system token (p11_sign.c) ---- */

/* CKM_ECDSA over P-256, or CKM_EDDSA over edwards25519 (PKCS#11 v3.0, 2.3). */
enum p11_sign_kind { P11_SIGN_P256, P11_SIGN_ED25519 };
/* A key pair. Plain data, as struct p11_kek. */
struct p11_sign_key {
	enum p11_sign_kind kind;
	struct kms_id id;         /* CKA_ID: SHA-256("kmsd/sign/1/" || label)[0..16] */
	uint8_t point[P11_POINT]; /* of Ed25519 the first P11_ED25519 bytes */
	unsigned long object;
	uint64_t epoch;
};

/* Make a key pair that only signs, read back and tested with a signature that OpenSSL verifies.
 * EXISTS when there is one with that label (1 .. P11_LABEL_MAX bytes). A token that has no such
 * keys answers INTERNAL, or CONFIG where it has weaker ones: what it made is destroyed then. */
kms_err p11_sign_key_generate(
	struct p11 *p11, enum p11_sign_kind kind, const char *label, struct p11_sign_key *ret_key);
/* Find it again; a test signature shows that private key and point belong together. */
kms_err p11_sign_key_find(
	struct p11 *p11, enum p11_sign_kind kind, const char *label, struct p11_sign_key *ret_key);
/* DER SubjectPublicKeyInfo of a P-256 key; compare it with what is pinned. */
kms_err p11_sign_key_spki(const struct p11_sign_key *key, struct kms_buf *ret_der);
/* ECDSA with SHA-256 (FIPS 186-5) over the message, whose hash is made here; or Ed25519 (RFC 8032)
 * over the message itself. */
kms_err p11_sign(struct p11 *p11, struct p11_sign_key *key, struct kms_bytes message,
	uint8_t ret_raw[P11_SIG]);

#endif
