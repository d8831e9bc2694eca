/* Numbers on a line, weighted, in few clusters: k-means, but solved exactly, since each cluster is
 * a run of the sorted numbers (Gronlund et al., arXiv:1701.07204). */
#ifndef HB_CLUSTERS_H
#define HB_CLUSTERS_H

#include "base/base.h"

typedef struct hb_weighted {
  float x, w; /* w above 0 */
} hb_weighted;

/* Sorts `count` of them by x, those of equal x in their order. `room` is for as many. */
void hb_weighted_sort(hb_weighted *values, uint32_t count, hb_weighted *room);

/* Bytes that hb_clusters_find works in. */
uint64_t hb_clusters_bytes(uint32_t count, uint32_t clusters);

/* Divides sorted values into runs with the least sum of w * (x - mean of the run)^2. ends[q] is
 * where run q ends; runs may be empty. `room` is aligned as doubles are. */
void hb_clusters_find(const hb_weighted *values, uint32_t count, uint32_t clusters, void *room,
                      uint32_t *ends);

#endif
