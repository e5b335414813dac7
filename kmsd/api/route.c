/* SPDX-License-Identifier: Apache-2.0 */
/* From a path and a method to the row of wire's table. Runs in kmsd. What has no row is refused. */
#include "api_int.h"

#include <string.h>

#define ID_PART "{id}"

/* Does the path fit the pattern? The id, where there is one, in match. */
static bool fits(const char *pattern, const char *path, struct route_match *match)
{
	const char *part = strstr(pattern, ID_PART);
	match->has_id = part != NULL;
	if (part == NULL) {
		return strcmp(pattern, path) == 0;
	}
	size_t before = (size_t)(part - pattern);
	if (strncmp(pattern, path, before) != 0) {
		return false;
	}
	size_t len = strcspn(path + before, "/");
	if (len == 0 || len > ROUTE_ID_MAX ||
		strcmp(part + strlen(ID_PART), path + before + len) != 0) {
		return false;
	}
	memcpy(match->id, path + before, len);
	match->id[len] = '\0';
	return true;
}

kms_err route_find(
	const char *method, const char *path, struct route_match *ret_match, const char **ret_allow)
{
	bool has_get = false, has_post = false;
	for (const struct wire_route *route = wire_routes; route->path != NULL; route++) {
		struct route_match match = {.route = route};
		if (!fits(route->path, path, &match)) {
			continue;
		}
		if (strcmp(route->method, method) == 0) {
			*ret_match = match;
			return KMS_OK;
		}
		has_get = has_get || strcmp(route->method, "GET") == 0;
		has_post = has_post || strcmp(route->method, "POST") == 0;
	}
	if (!has_get && !has_post) {
		return KMS_ERR(NOT_FOUND);
	}
	*ret_allow = has_get && has_post ? "GET, POST" : has_get ? "GET" : "POST";
	return KMS_ERR(UNSUPPORTED);
}
