/* x86 with AMX for bf16 (Intel servers since 2023): a tile of 16 x 16 sums takes in 32 steps of k
 * at once. */
#if defined(__x86_64__)

#include "train/gemm_bf16.inc"

static void begin_tiles(void) {
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } config = {
      .palette = 1,
      .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
      .rows = {16, 16, 16, 16, 16, 16, 16, 16},
  };
  _tile_loadconfig(&config);
}

/* Tiles 0 to 3 are sums, 4 and 5 of A, 6 and 7 of B. */
static void multiply_panels(const panels *t) {
  const size_t c_bytes = t->c_row * sizeof(float);
  float *below = t->c + LANES * t->c_row;
  if (t->add) {
    _tile_loadd(0, t->c, c_bytes);
    _tile_loadd(1, t->c + LANES, c_bytes);
    _tile_loadd(2, below, c_bytes);
    _tile_loadd(3, below + LANES, c_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  const uint32_t *a = t->a, *b = t->b;
  uintptr_t next = (uintptr_t)t->c + PANEL * sizeof(float); /* the sums that come next */
  for (size_t i = 0; i < t->count; i++, a += 2 * TILE, b += 2 * TILE) {
    HB_UNROLL for (size_t r = 0; i < PANEL / 4 && r < 4; r++, next += c_bytes) {
      __builtin_prefetch((const void *)next, 1);
      __builtin_prefetch((const void *)(next + 64), 1);
    }
    /* Panels of B pass by, one of A stays in the first cache. */
    _tile_loadd(4, a, 64);
    _tile_loadd(5, a + TILE, 64);
    _tile_stream_loadd(6, b, 64);
    _tile_stream_loadd(7, b + TILE, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, t->c, c_bytes);
  _tile_stored(1, t->c + LANES, c_bytes);
  _tile_stored(2, below, c_bytes);
  _tile_stored(3, below + LANES, c_bytes);
}

void hb_gemm_bf16_amx(const hb_gemm *g, void *room) {
  begin_tiles();
  multiply_all(g, room);
  _tile_release();
}

#else
typedef int hb_empty_file; /* which ISO C forbids */
#endif
