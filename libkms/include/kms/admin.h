/* SPDX-License-Identifier: Apache-2.0 */
/*
 * <kms/admin.h>: management. Typed parameters in, the body of kmsd's answer out: JSON text as
 * docs/openapi.yaml describes it, with a NUL, the caller's for free(3). The client is that of
 * <kms/kms.h>, its profile with an admin URL and a principal's certificate of the role that may
 * ask. Ids are UUIDs as text. Errors as there; ARGUMENT: an id or text that is not one.
 */
#ifndef KMS_ADMIN_H
#define KMS_ADMIN_H

#include <stddef.h>
#include <stdint.h>

#include <kms/err.h>
#include <kms/kms.h>

/* A part of a list. */
struct kms_page {
	const char *after; /* the id that the page before ended with; NULL: from the start */
	uint32_t limit;    /* rows; 0: as many as one answer may have */
};

KMS_API kms_err kms_admin_status(struct kms_client *client, char **ret_json);

/* page may be NULL: from the start. */
KMS_API kms_err kms_admin_tenant_list(
	struct kms_client *client, const struct kms_page *page, char **ret_json);
KMS_API kms_err kms_admin_tenant_show(struct kms_client *client, const char *id, char **ret_json);
KMS_API kms_err kms_admin_principal_list(
	struct kms_client *client, const struct kms_page *page, char **ret_json);
KMS_API kms_err kms_admin_principal_show(
	struct kms_client *client, const char *id, char **ret_json);
KMS_API kms_err kms_admin_token_list(
	struct kms_client *client, const struct kms_page *page, char **ret_json);
KMS_API kms_err kms_admin_token_show(struct kms_client *client, const char *id, char **ret_json);

enum kms_custody {
	KMS_CUSTODY_ANY = 1, /* each token alone can unwrap */
	KMS_CUSTODY_ALL = 2, /* every token is needed */
};
enum kms_delivery {
	KMS_DELIVERY_SEALED = 1, /* kmsd only relays, and cannot read */
	KMS_DELIVERY_CLEAR = 2,  /* kmsd sees the data keys */
};
struct kms_key_create {
	const char *label;
	enum kms_custody custody;
	enum kms_delivery delivery;
	const char *const *token_ids; /* in order */
	size_t token_count;           /* 1 .. 4 */
};
KMS_API kms_err kms_admin_key_create(
	struct kms_client *client, const struct kms_key_create *create, char **ret_json);
KMS_API kms_err kms_admin_key_list(
	struct kms_client *client, const struct kms_page *page, char **ret_json);
KMS_API kms_err kms_admin_key_show(struct kms_client *client, const char *id, char **ret_json);
KMS_API kms_err kms_admin_key_rotate(struct kms_client *client, const char *id, char **ret_json);
KMS_API kms_err kms_admin_key_suspend(struct kms_client *client, const char *id, char **ret_json);
KMS_API kms_err kms_admin_key_resume(struct kms_client *client, const char *id, char **ret_json);
KMS_API kms_err kms_admin_key_deactivate(
	struct kms_client *client, const char *id, char **ret_json);
/* Its ledger entries. */
KMS_API kms_err kms_admin_key_history(struct kms_client *client, const char *id, char **ret_json);

/* Texts may be NULL where there is nothing to say, but for key_id, label and medium. */
struct kms_dataset_add {
	const char *key_id;
	const char *label;
	const char *medium; /* volume, bucket, table, archive, backup, ... */
	const char *serial;
	const char *site;
	const char *country;        /* ISO 3166-1 alpha-2 */
	int64_t first_write_unix_s; /* 0: not written yet */
};
KMS_API kms_err kms_admin_dataset_add(
	struct kms_client *client, const struct kms_dataset_add *add, char **ret_json);
KMS_API kms_err kms_admin_dataset_list(
	struct kms_client *client, const struct kms_page *page, char **ret_json);
KMS_API kms_err kms_admin_dataset_show(struct kms_client *client, const char *id, char **ret_json);

/* The newest signed checkpoint, and the ledger's size now. */
KMS_API kms_err kms_admin_ledger_head(struct kms_client *client, char **ret_json);
/* Entries from number `from` on; limit as in struct kms_page. */
KMS_API kms_err kms_admin_ledger_entries(
	struct kms_client *client, uint64_t from, uint32_t limit, char **ret_json);
/* The use records behind the use.batch entry with this number. */
KMS_API kms_err kms_admin_ledger_uses(struct kms_client *client, uint64_t batch, char **ret_json);

/* ---- erasures: plan, request, approve, execute, certify ---- */

enum kms_erase_scope {
	KMS_ERASE_VERSIONS = 1,
	KMS_ERASE_KEY,
	KMS_ERASE_DATASET,
	KMS_ERASE_TENANT,
};
struct kms_erase_plan {
	enum kms_erase_scope scope;
	const char *subject;      /* id of key, dataset or tenant */
	const uint32_t *versions; /* VERSIONS */
	size_t version_count;
	int wipe;          /* TENANT: not 0: the tokens as well */
	uint32_t window_s; /* to wait before it may be executed */
	uint32_t valid_s;  /* then approvals are good for so long */
};
/* {"scope": base64, "observed": base64, "bytes": base64 of what is to be signed, or ""}. */
KMS_API kms_err kms_admin_erase_plan(
	struct kms_client *client, const struct kms_erase_plan *plan, char **ret_json);
/* bytes as the plan gave them; certificate: the requester's, DER; signature: r || s, 64 bytes. */
KMS_API kms_err kms_admin_erase_request(struct kms_client *client, const uint8_t *bytes, size_t len,
	const uint8_t *certificate, size_t certificate_len, const uint8_t *signature,
	char **ret_json);
KMS_API kms_err kms_admin_erase_list(
	struct kms_client *client, const struct kms_page *page, char **ret_json);
KMS_API kms_err kms_admin_erase_show(struct kms_client *client, const char *id, char **ret_json);
/* spki: DER, of the key that made the signature. cancel not 0: a cancellation. */
KMS_API kms_err kms_admin_erase_sign(struct kms_client *client, const char *id, int cancel,
	const uint8_t *spki, size_t spki_len, const uint8_t *signature, char **ret_json);
KMS_API kms_err kms_admin_erase_execute(struct kms_client *client, const char *id, char **ret_json);
/* {"certificate": id, "files": [{"name": ..., "bytes": base64}, ...]}. */
KMS_API kms_err kms_admin_erase_certificate(
	struct kms_client *client, const char *id, char **ret_json);

#endif
