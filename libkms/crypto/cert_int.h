/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files about certificates share.
 */
#ifndef KMS_CRYPTO_CERT_INT_H
#define KMS_CRYPTO_CERT_INT_H

#include <openssl/x509.h>

#include "crypto_int.h"

struct crypto_cert {
	X509 *x509;
};

#endif
