/* F32, F16 and BF16: a block is one value. */
#include "quant/formats.h"

HB_DECODER(f32) {
  const uint8_t *bytes = in;
  for (size_t i = 0; i < blocks; i++) out[i] = hb_f32_of_bits(hb_load_u32(bytes + 4 * i));
}

HB_DECODER(f16) {
  const uint8_t *bytes = in;
  for (size_t i = 0; i < blocks; i++) out[i] = hb_load_f16(bytes + 2 * i);
}

HB_DECODER(bf16) {
  const uint8_t *bytes = in;
  for (size_t i = 0; i < blocks; i++) out[i] = hb_f32_of_bf16(hb_load_u16(bytes + 2 * i));
}

HB_ENCODER(f32) {
  uint8_t *bytes = out;
  for (size_t i = 0; i < blocks; i++) {
    uint32_t bits = hb_bits_of_f32(in[i]);
    hb_store_u16(bytes + 4 * i, (uint16_t)bits);
    hb_store_u16(bytes + 4 * i + 2, (uint16_t)(bits >> 16));
  }
}

HB_ENCODER(f16) {
  uint8_t *bytes = out;
  for (size_t i = 0; i < blocks; i++) hb_store_u16(bytes + 2 * i, hb_f16_of_f32(in[i]));
}

HB_ENCODER(bf16) {
  uint8_t *bytes = out;
  for (size_t i = 0; i < blocks; i++) hb_store_u16(bytes + 2 * i, hb_bf16_of_f32(in[i]));
}
