/* Finding records by name. The names are kept sorted, not hashed: no file can steer a sort into
 * quadratic time. They themselves stay where they are; `name_of` tells them. */
#ifndef HB_GGUF_NAMES_H
#define HB_GGUF_NAMES_H

#include "base/base.h"

#define HB_NO_NAME UINT32_MAX

typedef hb_string (*hb_name_of)(const void *context, uint32_t entry);

/* A name's hash comes first in the order, so that names are seldom compared. */
typedef struct hb_name {
  uint32_t hash;
  uint32_t entry;
} hb_name;

typedef struct hb_names {
  const hb_allocator *allocator;
  hb_name_of name_of;
  const void *context;
  hb_name *sorted;
  uint32_t count;
} hb_names;

/* Adds the entries that follow names->count, up to `count` in all. HB_MEMORY, or HB_FORMAT with
 * *twice set to an entry whose name another one has. */
hb_status hb_names_extend(hb_names *names, uint32_t count, uint32_t *twice);

/* The entry with that name, or HB_NO_NAME. */
uint32_t hb_names_find(const hb_names *names, hb_string name);

void hb_names_clear(hb_names *names);

#endif
