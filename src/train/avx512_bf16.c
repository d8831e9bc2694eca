/* x86 with AVX-512 for bf16 (AMD since 2022, Intel servers since 2020). Intel's of 2023 multiply so
 * at half the speed of f32; they have AMX. */
#if defined(__x86_64__)

#include "train/gemm_bf16.inc"

enum { ROWS = 8 }; /* of sums in registers, two vectors each */

static void multiply_rows(const panels *t, size_t row) {
  const uint32_t *a = t->a + row / LANES * TILE + row % LANES * PAIRS, *b = t->b;
  float *c = t->c + row * t->c_row;
  __m512 sum[ROWS][2];
  HB_UNROLL for (size_t i = 0; i < ROWS; i++) {
    HB_UNROLL for (size_t v = 0; v < 2; v++) {
      sum[i][v] = t->add ? _mm512_loadu_ps(c + i * t->c_row + v * LANES) : _mm512_setzero_ps();
    }
  }
  for (size_t n = 0; n < t->count; n++, a += 2 * TILE, b += 2 * TILE)
    HB_UNROLL for (size_t p = 0; p < PAIRS; p++) {
      __m512bh left = (__m512bh)_mm512_load_si512(b + p * LANES);
      __m512bh right = (__m512bh)_mm512_load_si512(b + TILE + p * LANES);
      HB_UNROLL for (size_t i = 0; i < ROWS; i++) {
        __m512bh x = (__m512bh)_mm512_set1_epi32((int32_t)a[i * PAIRS + p]);
        sum[i][0] = _mm512_dpbf16_ps(sum[i][0], x, left);
        sum[i][1] = _mm512_dpbf16_ps(sum[i][1], x, right);
      }
    }
  HB_UNROLL for (size_t i = 0; i < ROWS; i++) {
    HB_UNROLL for (size_t v = 0; v < 2; v++) {
      _mm512_storeu_ps(c + i * t->c_row + v * LANES, sum[i][v]);
    }
  }
}

static void multiply_panels(const panels *t) {
  for (size_t row = 0; row < PANEL; row += ROWS) multiply_rows(t, row);
}

void hb_gemm_bf16_avx512(const hb_gemm *g, void *room) {
  multiply_all(g, room);
}

#else
typedef int hb_empty_file; /* which ISO C forbids */
#endif
