#include "sample/select.h"

enum { FEW = 12 }; /* candidates that are sorted */

/* Likelier first; of equals, the smaller token first. */
static bool before(const hb_candidate *a, const hb_candidate *b) {
  return (a->logit > b->logit) | ((a->logit == b->logit) & (a->token < b->token));
}

static uint32_t between(const hb_candidate *c, uint32_t a, uint32_t b, uint32_t d) {
  bool ab = before(&c[a], &c[b]), bd = before(&c[b], &c[d]), ad = before(&c[a], &c[d]);
  return ab == bd ? b : ab == ad ? d : a;
}

/* Any place from `first` to `end` - 1, so that no order of the candidates is a bad one. */
static uint32_t anywhere(uint32_t first, uint32_t end, uint32_t *random) {
  *random = *random * 1664525u + 1013904223u;
  return first + (uint32_t)((uint64_t)*random * (end - first) >> 32);
}

/* Moves those before candidate `pivot` in front of it and the others behind it. Returns where it
 * stands then; *weight gets the sum of those in front. Without branches, which could not be
 * predicted. */
static uint32_t partition(hb_candidate *c, uint32_t first, uint32_t end, uint32_t pivot,
                          double *weight) {
  hb_candidate p = c[pivot];
  uint32_t place = first;
  double sum = 0;
  c[pivot] = c[end - 1];
  for (uint32_t i = first; i < end - 1; i++) {
    hb_candidate a = c[i];
    bool front = before(&a, &p);
    c[i] = c[place];
    c[place] = a;
    place += front;
    sum += front ? a.weight : 0.0f;
  }
  c[end - 1] = c[place];
  c[place] = p;
  *weight = sum;
  return place;
}

static void sort(hb_candidate *c, uint32_t n) {
  for (uint32_t i = 1; i < n; i++) {
    hb_candidate a = c[i];
    uint32_t at = i;
    for (; at > 0 && before(&a, &c[at - 1]); at--) c[at] = c[at - 1];
    c[at] = a;
  }
}

uint32_t hb_select_likeliest(hb_candidate *c, uint32_t n, uint32_t most, double enough) {
  /* Those in front of `first` are taken and weigh `sum`; those from `end` on are not. */
  uint32_t first = 0, end = n, random = 0;
  double sum = 0;
  while (end - first > FEW) {
    double weight;
    uint32_t a = anywhere(first, end, &random), b = anywhere(first, end, &random),
             d = anywhere(first, end, &random);
    uint32_t place = partition(c, first, end, between(c, a, b, d), &weight);
    if (place > first && (place >= most || sum + weight >= enough)) {
      end = place;
      continue;
    }
    first = place + 1;
    sum += weight + c[place].weight;
    if (first >= most || sum >= enough) return first;
  }
  sort(c + first, end - first);
  while (first < end) {
    sum += c[first++].weight;
    if (first >= most || sum >= enough) break;
  }
  return first;
}
