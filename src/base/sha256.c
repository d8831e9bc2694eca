#include "base/sha256.h"

#include <string.h>

/* The fractions of the cube roots of the first 64 primes. */
static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, int n) {
  return x >> n | x << (32 - n);
}

static uint32_t load_big_endian(const uint8_t *b) {
  return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* One round. Instead of moving the eight words of the state along, the caller names them anew. */
static inline void round_of(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e, uint32_t f,
                            uint32_t g, uint32_t *h, uint32_t input) {
  uint32_t sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
  uint32_t sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
  uint32_t t1 = *h + sum1 + (g ^ (e & (f ^ g))) + input;
  *d += t1;
  *h = t1 + sum0 + ((a & b) | (c & (a | b)));
}

static void compress(uint32_t state[8], const uint8_t block[64]) {
  uint32_t w[64];
  for (int i = 0; i < 16; i++) w[i] = load_big_endian(block + 4 * i);
  for (int i = 16; i < 64; i++) {
    uint32_t a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] +
           (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
  }
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
  for (int i = 0; i < 64; i += 8) {
    round_of(a, b, c, &d, e, f, g, &h, constants[i] + w[i]);
    round_of(h, a, b, &c, d, e, f, &g, constants[i + 1] + w[i + 1]);
    round_of(g, h, a, &b, c, d, e, &f, constants[i + 2] + w[i + 2]);
    round_of(f, g, h, &a, b, c, d, &e, constants[i + 3] + w[i + 3]);
    round_of(e, f, g, &h, a, b, c, &d, constants[i + 4] + w[i + 4]);
    round_of(d, e, f, &g, h, a, b, &c, constants[i + 5] + w[i + 5]);
    round_of(c, d, e, &f, g, h, a, &b, constants[i + 6] + w[i + 6]);
    round_of(b, c, d, &e, f, g, h, &a, constants[i + 7] + w[i + 7]);
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
}

void hb_sha256_init(hb_sha256 *hash) {
  *hash = (hb_sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                                0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void hb_sha256_update(hb_sha256 *hash, const void *bytes, size_t count) {
  const uint8_t *b = bytes;
  while (count > 0) {
    size_t filled = hash->count % 64;
    size_t piece = count < 64 - filled ? count : 64 - filled;
    memcpy(hash->block + filled, b, piece);
    hash->count += piece;
    b += piece;
    count -= piece;
    if (filled + piece == 64) compress(hash->state, hash->block);
  }
}

void hb_sha256_final(hb_sha256 *hash, uint8_t digest[HB_SHA256_BYTES]) {
  static const uint8_t end[64] = {0x80};
  uint8_t bits[8];
  for (int i = 0; i < 8; i++) bits[i] = (uint8_t)(hash->count * 8 >> (56 - 8 * i));
  hb_sha256_update(hash, end, 1 + (119 - hash->count % 64) % 64);
  hb_sha256_update(hash, bits, 8);
  for (int i = 0; i < 32; i++) digest[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
}
