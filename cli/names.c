/* SPDX-License-Identifier: Apache-2.0 */
/* What people called the things whose ids kmsd gives. Names are for reading, never for deciding. */
#include <string.h>

#include "cli_int.h"

/* For reading only: who may not list them sees ids. */
struct doc *cli_names_list(const struct cli *cli, cli_list_call *call)
{
	KMS_AUTO_FREE char *json = NULL;
	struct doc *list = NULL;
	struct kms_page page = {NULL, LIMIT_LIST_PAGE};
	if (kms_is_ok(call(cli->client, &page, &json))) {
		KMS_IGNORE(doc_parse(kms_bytes_str(json), LIMIT_HTTP_ANSWER, &list));
	}
	return list;
}

const char *cli_name_of(struct doc *list, const char *rows, const char *id)
{
	struct doc *array = NULL;
	if (list == NULL || !kms_is_ok(doc_get_array(list, rows, &array))) {
		return id;
	}
	for (size_t i = 0; i < doc_count(array); i++) {
		struct doc *row = NULL;
		const char *row_id = NULL;
		const char *label = NULL;
		if (kms_is_ok(doc_item_object(array, i, &row)) &&
			kms_is_ok(doc_get_text(row, "id", &row_id)) && strcmp(row_id, id) == 0 &&
			kms_is_ok(doc_get_text(row, "label", &label)) && *label != '\0') {
			return label;
		}
	}
	return id;
}
