#include "model/pace.h"

/* The slower way is tried for TRIES steps, as in the first of them threads may have to be woken,
 * each time after twice as many steps as before. */
enum { TRIES = 2, FIRST_PATIENCE = 16, MOST_PATIENCE = 512 };

static bool together_is_faster(const hb_pace *p) {
  return p->together <= p->alone;
}

static bool tries(const hb_pace *p) {
  return p->steps >= p->patience;
}

bool hb_pace_together(const hb_pace *p) {
  return together_is_faster(p) != tries(p);
}

/* What is done all the time is known by a running mean, in which one interruption counts little;
 * what is tried, by the last try. One that proves faster ends the trying. */
void hb_pace_note(hb_pace *p, bool together, double seconds) {
  double *known = together ? &p->together : &p->alone;
  bool tried = tries(p);
  *known = tried ? seconds : *known + (seconds - *known) / 4;
  p->steps++;
  bool faster = together_is_faster(p) == together;
  if (!tried || (p->steps < p->patience + TRIES && !faster)) return;
  p->steps = 0;
  p->patience = p->patience == 0 ? FIRST_PATIENCE : 2 * p->patience;
  if (p->patience > MOST_PATIENCE) p->patience = MOST_PATIENCE;
}
