/* SHA-256 (FIPS 180-4) of bytes that come in pieces. */
#ifndef HB_SHA256_H
#define HB_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define HB_SHA256_BYTES 32

typedef struct hb_sha256 {
  uint32_t state[8];
  uint8_t block[64];
  uint64_t count; /* bytes taken */
} hb_sha256;

void hb_sha256_init(hb_sha256 *hash);
void hb_sha256_update(hb_sha256 *hash, const void *bytes, size_t count);
void hb_sha256_final(hb_sha256 *hash, uint8_t digest[HB_SHA256_BYTES]);

#endif
