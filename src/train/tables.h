/* The tables of the ISA files. Each is defined where its file is not empty: the target has the ISA,
 * whether or not the machine that runs it does. */
#ifndef HB_TRAIN_TABLES_H
#define HB_TRAIN_TABLES_H

#include "train/kernels.h"

extern const hb_train_kernels hb_train_scalar;
#if defined(__x86_64__)
extern const hb_train_kernels hb_train_avx2, hb_train_avx512;
extern const hb_train_kernels hb_train_avx512_bf16, hb_train_amx_bf16;
#endif
#if defined(__aarch64__)
extern const hb_train_kernels hb_train_neon;
#endif
#if defined(__wasm_simd128__)
extern const hb_train_kernels hb_train_simd128;
#endif

#endif
