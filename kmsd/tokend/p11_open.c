/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token's life in kms-tokend: making it, opening it (slot, session, login, canary), mending a
 * lost session or login, closing it. It must never try a refused PIN again, and never log in
 * outside the lock file: a login of SoftHSM rewrites the file that others read.
 */
#include "p11_raw_int.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS_MAX = 256, SO_PIN_BYTES = 16 };

/* A blank-padded text of CK_TOKEN_INFO, trimmed; bytes that are no printable ASCII become '?'. */
static void trim(const CK_UTF8CHAR *padded, size_t len, char *ret_text)
{
	while (len > 0 && (padded[len - 1] == ' ' || padded[len - 1] == '\0')) {
		len--;
	}
	for (size_t i = 0; i < len; i++) {
		ret_text[i] = (char)(padded[i] >= 0x20 && padded[i] < 0x7f ? padded[i] : '?');
	}
	ret_text[len] = '\0';
}

/* ---- slots ---- */

static kms_err slot_list(struct p11 *p11, CK_SLOT_ID *ret_slots, CK_ULONG *ret_count)
{
	CK_ULONG count = SLOTS_MAX;
	CK_RV rv = p11->module.fn->C_GetSlotList(CK_TRUE, ret_slots, &count);
	if (rv == CKR_BUFFER_TOO_SMALL) {
		kms_log(KMS_LOG_ERROR, "token: the module has more than %d slots", SLOTS_MAX);
		return KMS_ERR(TOO_LARGE);
	}
	KMS_TRY(p11_rv_error(rv, "C_GetSlotList"));
	*ret_count = count;
	return KMS_OK;
}

static bool has_label(const CK_TOKEN_INFO *info, const char *label)
{
	char padded[sizeof(info->label)];
	memset(padded, ' ', sizeof(padded));
	memcpy(padded, label, strlen(label)); /* at most P11_LABEL_MAX: p11_profile_check */
	return (info->flags & CKF_TOKEN_INITIALIZED) != 0 &&
	       memcmp(padded, info->label, sizeof(padded)) == 0;
}

/* Our token: by label, and serial where it is known. */
static kms_err slot_find(struct p11 *p11, CK_TOKEN_INFO *ret_info)
{
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG count = 0;
	size_t found = 0;
	KMS_TRY(slot_list(p11, slots, &count));
	for (CK_ULONG i = 0; i < count; i++) {
		CK_TOKEN_INFO info = {0};
		char serial[17];
		if (p11->module.fn->C_GetTokenInfo(slots[i], &info) != CKR_OK) {
			continue; /* a reader without a token */
		}
		trim(info.serialNumber, sizeof(info.serialNumber), serial);
		bool ours = p11->pins.serial[0] == '\0' || strcmp(serial, p11->pins.serial) == 0;
		if (ours && has_label(&info, p11->profile->label)) {
			p11->slot = slots[i];
			*ret_info = info;
			found++;
		}
	}
	if (found == 0) {
		kms_log(KMS_LOG_ERROR, "token: no slot holds the token \"%s\" %s",
			p11->profile->label, p11->pins.serial);
		return KMS_ERR(TOKEN_DOWN);
	}
	if (found > 1) {
		kms_log(KMS_LOG_ERROR, "token: several tokens are called \"%s\"",
			p11->profile->label);
		return KMS_ERR(CONFIG);
	}
	return KMS_OK;
}

/* A token that was never initialised: the only kind that C_InitToken may touch here. */
static kms_err slot_find_blank(struct p11 *p11)
{
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG count = 0;
	bool found = false;
	KMS_TRY(slot_list(p11, slots, &count));
	for (CK_ULONG i = 0; i < count; i++) {
		CK_TOKEN_INFO info = {0};
		if (p11->module.fn->C_GetTokenInfo(slots[i], &info) != CKR_OK) {
			continue;
		}
		if (has_label(&info, p11->profile->label)) {
			kms_log(KMS_LOG_ERROR, "token: \"%s\" exists", p11->profile->label);
			return KMS_ERR(EXISTS);
		}
		if (!found && (info.flags & CKF_TOKEN_INITIALIZED) == 0) {
			p11->slot = slots[i];
			found = true;
		}
	}
	if (!found) {
		kms_log(KMS_LOG_ERROR, "token: no slot holds a token that was never initialised");
		return KMS_ERR(NOT_FOUND);
	}
	return KMS_OK;
}

static void facts_of(struct p11 *p11, const CK_TOKEN_INFO *info)
{
	struct p11_facts *facts = &p11->facts;
	trim(info->manufacturerID, sizeof(info->manufacturerID), facts->manufacturer);
	trim(info->model, sizeof(info->model), facts->model);
	trim(info->serialNumber, sizeof(info->serialNumber), facts->serial);
	/* CK_VERSION: two bytes, at most "255.255" (v2.40, 3.1) */
	struct kms_writer text = kms_writer_fixed(facts->firmware, sizeof(facts->firmware));
	kms_write_format(&text, "%u.%u", (unsigned)info->firmwareVersion.major,
		(unsigned)info->firmwareVersion.minor);
	kms_write_u8(&text, '\0');
	facts->module = p11->module.hash;
}

/* ---- session and login ---- */

static kms_err session_open(struct p11 *p11)
{
	CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
	CK_RV rv = p11->module.fn->C_OpenSession(
		p11->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);
	KMS_TRY(p11_rv_error(rv, "C_OpenSession"));
	p11->session = session;
	return KMS_OK;
}

/* Under the lock. */
static kms_err login(struct p11 *p11)
{
	if (!p11->profile->login) {
		return KMS_OK;
	}
	if (p11->pin == NULL) {
		return KMS_ERR(CONFIG);
	}
	CK_RV rv = p11->module.fn->C_Login(p11->session, CKU_USER, kms_secret_ptr(p11->pin),
		(CK_ULONG)kms_secret_len(p11->pin));
	if (rv == CKR_USER_ALREADY_LOGGED_IN) {
		return KMS_OK;
	}
	if (p11_rv_class(rv) == P11_RV_PIN) {
		/* A second try could lock the token for ever. */
		kms_secret_free(&p11->pin);
		kms_log(KMS_LOG_ERROR, "token \"%s\": the PIN was refused; it is not tried again",
			p11->profile->label);
	}
	KMS_TRY(p11_rv_error(rv, "C_Login"));
	return p11_softhsm_keep(p11->profile);
}

static kms_err login_locked(struct p11 *p11)
{
	KMS_TRY(p11_lock_take(p11->lock));
	kms_err err = login(p11);
	p11_lock_drop(p11->lock);
	return err;
}

kms_err p11_session_mend(struct p11 *p11, bool renew)
{
	CK_FUNCTION_LIST_PTR fn = p11->module.fn;
	CK_SESSION_INFO info = {0};
	if (renew || fn->C_GetSessionInfo(p11->session, &info) != CKR_OK) {
		/* The new one first: closing the last session logs out (v2.40, 5.6). */
		CK_SESSION_HANDLE old = p11->session;
		KMS_TRY(session_open(p11));
		(void)fn->C_CloseSession(old);
		p11->canary = CK_INVALID_HANDLE;
		p11->epoch++;
		KMS_TRY(p11_rv_error(
			fn->C_GetSessionInfo(p11->session, &info), "C_GetSessionInfo"));
	}
	if (p11->profile->login && info.state == CKS_RW_PUBLIC_SESSION) {
		KMS_TRY(login_locked(p11));
		p11->canary = CK_INVALID_HANDLE;
		p11->epoch++;
	}
	return KMS_OK;
}

/* ---- life ---- */

/* The module, loaded but not initialised. */
static kms_err load(const struct p11_profile *profile, struct p11 **ret_p11)
{
	KMS_TRY(p11_profile_check(profile));
	KMS_AUTO(p11) p11 = calloc(1, sizeof(*p11));
	if (p11 == NULL) {
		return KMS_ERR(NO_MEMORY);
	}
	p11->profile = profile;
	p11->lock = -1;
	/* From a random start: no handle of an earlier struct p11 passes for one of this. */
	kms_random(&p11->epoch, sizeof(p11->epoch));
	KMS_TRY(p11_lock_open(profile, &p11->lock));
	KMS_TRY(p11_softhsm_configure(profile));
	KMS_TRY(p11_module_load(profile, &p11->module));
	*ret_p11 = kms_take(&p11);
	return KMS_OK;
}

static void stop(struct p11 *p11)
{
	if (p11->session != CK_INVALID_HANDLE) {
		(void)p11->module.fn->C_CloseSession(p11->session);
		p11->session = CK_INVALID_HANDLE;
	}
	p11->canary = CK_INVALID_HANDLE;
	p11_module_finalise(&p11->module);
}

/* Under the lock. */
static kms_err start_locked(struct p11 *p11)
{
	CK_TOKEN_INFO info = {0};
	KMS_TRY(p11_softhsm_repair(p11->profile));
	KMS_TRY(p11_module_initialise(&p11->module, p11->profile));
	KMS_TRY(slot_find(p11, &info));
	KMS_TRY(session_open(p11));
	KMS_TRY(login(p11));
	facts_of(p11, &info);
	return KMS_OK;
}

static kms_err start(struct p11 *p11)
{
	KMS_TRY(p11_lock_take(p11->lock));
	kms_err err = start_locked(p11);
	p11_lock_drop(p11->lock);
	p11->epoch++;
	if (kms_is_ok(err)) {
		err = p11_canary_check(p11);
	}
	if (!kms_is_ok(err)) {
		stop(p11);
	}
	return err;
}

kms_err p11_open(const struct p11_profile *profile, const struct p11_pins *pins,
	struct kms_secret **pin, struct p11 **ret_p11)
{
	KMS_AUTO(kms_secret) taken = kms_take(pin);
	KMS_AUTO(p11) p11 = NULL;
	if (profile->login && (taken == NULL || kms_secret_len(taken) == 0)) {
		kms_log(KMS_LOG_ERROR, "token \"%s\": no PIN", profile->label);
		return KMS_ERR(CONFIG);
	}
	KMS_TRY(load(profile, &p11));
	p11->pins = *pins;
	p11->pin = kms_take(&taken);
	KMS_TRY(start(p11));
	*ret_p11 = kms_take(&p11);
	return KMS_OK;
}

kms_err p11_reopen(struct p11 *p11)
{
	if (p11_pin_refused(p11)) {
		return KMS_ERR(CONFIG);
	}
	stop(p11);
	return start(p11);
}

void p11_free(struct p11 **p11)
{
	if (*p11 == NULL) {
		return;
	}
	stop(*p11);
	p11_module_unload(&(*p11)->module);
	if ((*p11)->lock >= 0) {
		(void)close((*p11)->lock);
	}
	kms_secret_free(&(*p11)->pin);
	free(*p11);
	*p11 = NULL;
}

const struct p11_facts *p11_token_facts(const struct p11 *p11)
{
	return &p11->facts;
}

/* ---- making a token ---- */

/* 32 hex digits that nobody ever learns: without them the user PIN cannot be reset. */
static kms_err so_pin_new(struct kms_secret **ret_pin)
{
	uint8_t bytes[SO_PIN_BYTES];
	char text[2 * SO_PIN_BYTES + 1];
	kms_random(bytes, sizeof(bytes));
	kms_hex_encode(KMS_BYTES_OF(bytes), text);
	kms_err err = kms_secret_copy(
		(struct kms_bytes){(const uint8_t *)text, sizeof(text) - 1}, ret_pin);
	explicit_bzero(bytes, sizeof(bytes));
	explicit_bzero(text, sizeof(text));
	return err;
}

static kms_err token_make(struct p11 *p11, struct kms_secret *pin)
{
	CK_FUNCTION_LIST_PTR fn = p11->module.fn;
	KMS_AUTO(kms_secret) so_pin = NULL;
	CK_UTF8CHAR label[P11_LABEL_MAX];
	memset(label, ' ', sizeof(label)); /* blank-padded (v2.40, 5.5) */
	memcpy(label, p11->profile->label, strlen(p11->profile->label));
	KMS_TRY(so_pin_new(&so_pin));
	CK_ULONG so_len = (CK_ULONG)kms_secret_len(so_pin);
	KMS_TRY(p11_rv_error(
		fn->C_InitToken(p11->slot, kms_secret_ptr(so_pin), so_len, label), "C_InitToken"));
	KMS_TRY(session_open(p11));
	KMS_TRY(p11_rv_error(fn->C_Login(p11->session, CKU_SO, kms_secret_ptr(so_pin), so_len),
		"C_Login of the SO"));
	KMS_TRY(p11_rv_error(
		fn->C_InitPIN(p11->session, kms_secret_ptr(pin), (CK_ULONG)kms_secret_len(pin)),
		"C_InitPIN"));
	return p11_rv_error(fn->C_Logout(p11->session), "C_Logout");
}

/* Under the lock. */
static kms_err init_locked(struct p11 *p11, struct kms_secret *pin, struct p11_pins *ret_pins)
{
	struct p11_pins pins = {0};
	CK_TOKEN_INFO info = {0};
	KMS_TRY(p11_module_initialise(&p11->module, p11->profile));
	KMS_TRY(slot_find_blank(p11));
	KMS_TRY(token_make(p11, pin));
	KMS_TRY(p11_rv_error(p11->module.fn->C_GetTokenInfo(p11->slot, &info), "C_GetTokenInfo"));
	facts_of(p11, &info);
	memcpy(pins.serial, p11->facts.serial, sizeof(pins.serial));
	KMS_TRY(login(p11));
	p11->epoch++;
	KMS_TRY(p11_canary_make(p11, &pins.canary));
	KMS_TRY(p11_softhsm_sync(p11->profile));
	*ret_pins = pins;
	return KMS_OK;
}

kms_err p11_init_token(
	const struct p11_profile *profile, struct kms_secret *pin, struct p11_pins *ret_pins)
{
	KMS_AUTO(p11) p11 = NULL;
	if (pin == NULL || kms_secret_len(pin) == 0) {
		return KMS_ERR(CONFIG);
	}
	KMS_TRY(load(profile, &p11));
	KMS_TRY(kms_secret_copy(kms_secret_bytes(pin), &p11->pin));
	KMS_TRY(p11_lock_take(p11->lock));
	kms_err err = init_locked(p11, pin, ret_pins);
	p11_lock_drop(p11->lock);
	return err;
}
