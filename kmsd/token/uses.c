/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue of uses that a kms-tokend counted and the ledger has not recorded yet, in their order.
 */
#include "token_int.h"

#include <stdlib.h>

kms_err uses_queue(struct token *token, struct model_counted *uses, const struct token_user *user)
{
	struct token_uses *batch = calloc(1, sizeof(*batch));
	if (batch == NULL) {
		/* They are offered again on the next link. */
		return KMS_ERR(NO_MEMORY);
	}
	batch->uses = *uses;
	batch->user = *user;
	uses->rows = NULL;
	struct token_uses **at = &token->uses;
	while (*at != NULL) {
		at = &(*at)->next;
	}
	*at = batch;
	token->queued_boot = batch->uses.boot;
	token->queued_n = batch->uses.first + batch->uses.count - 1;
	return KMS_OK;
}

struct token_uses *token_uses_take(struct token *token, uint32_t max)
{
	(void)pthread_mutex_lock(&token->lock);
	struct token_uses *list = token->uses;
	struct token_uses **at = &list;
	uint32_t total = 0;
	while (*at != NULL && (at == &list || total + (*at)->uses.count <= max)) {
		total += (*at)->uses.count;
		at = &(*at)->next;
	}
	token->uses = *at;
	*at = NULL;
	(void)pthread_mutex_unlock(&token->lock);
	return list;
}

void token_uses_free(struct token_uses **list)
{
	while (*list != NULL) {
		struct token_uses *next = (*list)->next;
		free((*list)->uses.rows);
		free(*list);
		*list = next;
	}
}

void token_uses_return(struct token *token, struct token_uses *list)
{
	if (list == NULL) {
		return;
	}
	(void)pthread_mutex_lock(&token->lock);
	struct token_uses *last = list;
	while (last->next != NULL) {
		last = last->next;
	}
	last->next = token->uses;
	token->uses = list;
	(void)pthread_mutex_unlock(&token->lock);
}

void token_uses_ack(struct token *token, uint64_t boot, uint64_t n)
{
	(void)pthread_mutex_lock(&token->lock);
	token->ack_boot = boot;
	token->ack_n = n;
	token->ack_waits = true;
	(void)pthread_mutex_unlock(&token->lock);
	link_flush_ack(token);
}
