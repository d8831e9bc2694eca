#include "gguf/names.h"

static uint32_t hash_of(hb_string name) {
  return (uint32_t)hb_hash(name.data, name.length);
}

static int compare_strings(hb_string a, hb_string b) {
  size_t shorter = a.length < b.length ? a.length : b.length;
  int order = shorter ? memcmp(a.data, b.data, shorter) : 0;
  return order ? order : (a.length > b.length) - (a.length < b.length);
}

/* How entry `a` compares with the name `b` of that hash. */
static int compare(const hb_names *names, hb_name a, uint32_t hash, hb_string b) {
  if (a.hash != hash) return a.hash < hash ? -1 : 1;
  return compare_strings(names->name_of(names->context, a.entry), b);
}

static bool comes_after(const hb_names *names, hb_name a, hb_name b) {
  if (a.hash != b.hash) return a.hash > b.hash;
  return compare(names, a, b.hash, names->name_of(names->context, b.entry)) > 0;
}

/* Merges two sorted runs; of equal names, the first run's comes first. */
static void merge(const hb_names *names, const hb_name *a, uint32_t a_count, const hb_name *b,
                  uint32_t b_count, hb_name *out) {
  while (a_count > 0 && b_count > 0) {
    if (comes_after(names, *a, *b)) {
      *out++ = *b++;
      b_count--;
    } else {
      *out++ = *a++;
      a_count--;
    }
  }
  while (a_count-- > 0) *out++ = *a++;
  while (b_count-- > 0) *out++ = *b++;
}

/* Sorts list[0..count) from the bottom up; returns where the result is, `list` or `scratch`. */
static hb_name *sort(const hb_names *names, hb_name *list, hb_name *scratch, uint32_t count) {
  for (uint32_t run = 1; run<count; run = run> count / 2 ? count : 2 * run) {
    for (uint32_t at = 0; at < count;) {
      uint32_t first = count - at < run ? count - at : run;
      uint32_t second = count - at - first < run ? count - at - first : run;
      merge(names, list + at, first, list + at + first, second, scratch + at);
      at += first + second;
    }
    hb_name *result = scratch;
    scratch = list;
    list = result;
  }
  return list;
}

static hb_status find_twice(const hb_names *names, uint32_t *twice) {
  const hb_name *n = names->sorted;
  for (uint32_t i = 1; i < names->count; i++) {
    if (n[i].hash != n[i - 1].hash || comes_after(names, n[i], n[i - 1])) continue;
    *twice = n[i].entry;
    return HB_FORMAT;
  }
  return HB_OK;
}

hb_status hb_names_extend(hb_names *names, uint32_t count, uint32_t *twice) {
  uint32_t added = count - names->count;
  hb_name *all = hb_allocate(names->allocator, (uint64_t)count * sizeof *all);
  hb_name *list = hb_allocate(names->allocator, (uint64_t)added * 2 * sizeof *list);
  if (all && list) {
    for (uint32_t i = 0; i < added; i++) {
      uint32_t entry = names->count + i;
      list[i] = (hb_name){hash_of(names->name_of(names->context, entry)), entry};
    }
    merge(names, names->sorted, names->count, sort(names, list, list + added, added), added, all);
    hb_names_clear(names);
    names->sorted = all;
    names->count = count;
    all = NULL;
  }
  bool done = names->count == count && names->sorted;
  hb_release(names->allocator, list, (uint64_t)added * 2 * sizeof *list);
  hb_release(names->allocator, all, (uint64_t)count * sizeof *all);
  return done ? find_twice(names, twice) : HB_MEMORY;
}

uint32_t hb_names_find(const hb_names *names, hb_string name) {
  uint32_t low = 0, high = names->count, hash = hash_of(name);
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    int order = compare(names, names->sorted[middle], hash, name);
    if (order == 0) return names->sorted[middle].entry;
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return HB_NO_NAME;
}

void hb_names_clear(hb_names *names) {
  hb_release(names->allocator, names->sorted, (uint64_t)names->count * sizeof *names->sorted);
  names->sorted = NULL;
  names->count = 0;
}
