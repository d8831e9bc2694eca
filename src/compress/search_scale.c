/* The best scale of a grid without addend, exactly. While the inverse of the scale grows, values
 * move from level to level. Between two such moves the levels stand, and with them the best scale
 * and its error are known: with xl = sum of w * value * level and ll = sum of w * level^2, it is
 * xl / ll, and the error is that of zeros less xl^2 / ll. One sweep over the moves, in their order,
 * sees every choice of levels that any scale of that sign can lead to. */
#include "base/half.h"
#include "compress/search.h"

enum { MOST = 64, MOST_MOVES = 8 * MOST };

static const float no_move = 0x1.fffffep127f;

typedef struct sweep {
  const hb_part *part;
  float middles[HB_CODER_MOST_VALUES]; /* between level q and q + 1 */
  float reach;                         /* largest magnitude of a level */
  float gap;                           /* least distance of two levels */
  float extreme;                       /* largest magnitude of a value that counts */
  double zeros;                        /* error if all become 0 */

  float sign;             /* of the scale */
  uint16_t codes[MOST];   /* where each value stands */
  uint16_t ahead[MOST];   /* where it will stand when all collected moves are done */
  float next[MOST];       /* the inverse scale of the move after those */
  double xl, ll;          /* sums with these levels */
  hb_scale_choices *best; /* over both signs */
} sweep;

static float level(const hb_coder *c, uint32_t q) {
  return (float)(c->table ? c->table[q] : c->first + (int)q);
}

static float magnitude(float x) {
  return x < 0 ? -x : x;
}

static void prepare(sweep *s, const hb_part *p, hb_scale_choices *best) {
  const hb_coder *c = p->coder;
  *s = (sweep){.part = p, .gap = c->table ? 127 : 1, .best = best};
  for (uint32_t q = 0; q + 1u < c->levels; q++) {
    float low = level(c, q), high = level(c, q + 1);
    s->middles[q] = 0.5f * (low + high);
    s->gap = high - low < s->gap ? high - low : s->gap;
  }
  float first = magnitude(level(c, 0)), last = magnitude(level(c, c->levels - 1u));
  s->reach = first > last ? first : last;
  for (uint32_t i = 0; i < p->count; i++) {
    if (p->w[i] > 0 && magnitude(p->x[i]) > s->extreme) s->extreme = magnitude(p->x[i]);
    s->zeros += (double)p->w[i] * p->x[i] * p->x[i];
  }
}

/* Where value i moves next: up if it and the scale have the same sign. */
static void find_next(sweep *s, uint32_t i) {
  const hb_part *p = s->part;
  float x = s->sign * p->x[i];
  uint32_t q = s->ahead[i], last = x > 0 ? p->coder->levels - 1u : 0;
  s->next[i] = no_move;
  if (p->w[i] > 0 && x != 0 && q != last) s->next[i] = s->middles[x > 0 ? q : q - 1] / x;
}

/* Codes and sums for an inverse scale. */
static void start(sweep *s, float inverse) {
  const hb_part *p = s->part;
  s->xl = s->ll = 0;
  for (uint32_t i = 0; i < p->count; i++) {
    float t = s->sign * p->x[i] * inverse;
    uint32_t q = 0;
    if (!p->coder->table && t > s->middles[0]) /* the count of middles below t */
      q = t < s->reach ? (uint32_t)(t - s->middles[0]) : p->coder->levels - 1u;
    while (q + 1u < p->coder->levels && s->middles[q] < t) q++;
    double l = level(p->coder, q);
    s->codes[i] = s->ahead[i] = (uint16_t)q;
    find_next(s, i);
    s->xl += p->w[i] * (double)p->x[i] * l;
    s->ll += p->w[i] * l * l;
  }
}

/* Keeps the current levels' scale if it is among the best. */
static void consider(sweep *s) {
  hb_scale_choices *best = s->best;
  double square = s->xl * s->xl;
  uint32_t place = HB_SCALE_CHOICES;
  while (place > 0 && square > best->gains[place - 1] * s->ll) place--;
  if (place == HB_SCALE_CHOICES || s->ll <= 0) return;
  for (uint32_t k = HB_SCALE_CHOICES - 1; k > place; k--) {
    best->gains[k] = best->gains[k - 1];
    best->scales[k] = best->scales[k - 1];
  }
  best->gains[place] = square / s->ll;
  best->scales[place] = (float)(s->xl / s->ll);
}

/* ---- Moves ---- */

typedef struct move {
  float at; /* inverse scale */
  uint32_t value;
} move;

/* Adds a move, in order. */
static void insert(move *moves, uint32_t count, move m) {
  uint32_t k = count;
  while (k > 0 && moves[k - 1].at > m.at) {
    moves[k] = moves[k - 1];
    k--;
  }
  moves[k] = m;
}

/* The moves before inverse scale `end`, in order. */
static uint32_t collect(sweep *s, float end, move *moves) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < s->part->count; i++)
    while (s->next[i] < end && count < MOST_MOVES) {
      insert(moves, count++, (move){s->next[i], i});
      s->ahead[i] = (uint16_t)(s->sign * s->part->x[i] > 0 ? s->ahead[i] + 1 : s->ahead[i] - 1);
      find_next(s, i);
    }
  return count;
}

static void apply(sweep *s, uint32_t i) {
  const hb_part *p = s->part;
  double w = p->w[i], x = p->x[i], before = level(p->coder, s->codes[i]);
  if (s->sign * p->x[i] > 0)
    s->codes[i]++;
  else
    s->codes[i]--;
  double after = level(p->coder, s->codes[i]);
  s->xl += w * x * (after - before);
  s->ll += w * (after * after - before * before);
}

/* From a scale that leaves the last 8 levels, or 40 %, unused to ever smaller ones that cut off the
 * largest values, until that has long cost more than it can bring. */
static void run(sweep *s, float sign) {
  move moves[MOST_MOVES];
  float unused = 0.4f * s->reach < 8 * s->gap ? 0.4f * s->reach : 8 * s->gap;
  float t = s->reach - unused; /* level of the extreme */
  s->sign = sign;
  start(s, t / s->extreme);
  consider(s);
  while (t < 64 * s->reach) {
    t += 0.05f * t > s->gap ? 0.05f * t : s->gap;
    uint32_t count = collect(s, t / s->extreme, moves);
    for (uint32_t k = 0; k < count; k++) {
      apply(s, moves[k].value);
      consider(s);
    }
    double error = s->zeros - (s->ll > 0 ? s->xl * s->xl / s->ll : 0);
    if (t > s->reach + 2 * s->gap && error > 2 * (s->zeros - s->best->gains[0])) break;
  }
}

void hb_search_scale(const hb_part *part, hb_scale_choices *best) {
  sweep s;
  const hb_coder *c = part->coder;
  *best = (hb_scale_choices){{0}, {0}};
  prepare(&s, part, best);
  if (s.extreme == 0) return;
  run(&s, 1);
  if (level(c, 0) != -level(c, c->levels - 1u)) run(&s, -1);
}
