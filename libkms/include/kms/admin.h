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

#endif
