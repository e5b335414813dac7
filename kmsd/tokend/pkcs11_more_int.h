/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PKCS#11 constants that p11-kit 0.24's <p11-kit/pkcs11.h> (v2.40) lacks, each with its clause.
 * The only place of tokend for them.
 */
#ifndef KMS_PKCS11_MORE_INT_H
#define KMS_PKCS11_MORE_INT_H

/* PKCS#11 v3.0, 4.4 (storage objects: common attributes); pkcs11t.h of OASIS */
#define MORE_CKA_UNIQUE_ID 0x4UL
/* PKCS#11 v3.0, 5.1.6 (other Cryptoki function return values); pkcs11t.h of OASIS */
#define MORE_CKR_AEAD_DECRYPT_FAILED 0x42UL
#define MORE_CKR_TOKEN_RESOURCE_EXCEEDED 0x201UL
#define MORE_CKR_OPERATION_CANCEL_FAILED 0x202UL

#endif
