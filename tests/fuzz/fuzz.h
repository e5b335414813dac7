/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz target: called with bytes from outside, it parses them and asserts what must hold for
 * bytes that parse (that they are written back the same, say). libFuzzer's name, so that the same
 * file runs under it and under driver.c. Returns 0.
 */
#ifndef KMS_FUZZ_H
#define KMS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
