/* The seeds of a fuzz target as regression tests: tests/fuzz/TOPIC.json says how each file of
 * tests/fuzz/seeds/TOPIC must end. */
#ifndef HB_TEST_SEEDS_H
#define HB_TEST_SEEDS_H

#include "support.h"

#include <cjson/cJSON.h>
#include <dirent.h>

typedef struct seed {
  const char *name, *status, *message;
  uint8_t *data;
  size_t size;
} seed;

static inline const char *status_name(hb_status status) {
  switch (status) {
#define STATUS_NAME(name, number, js, text)                                                        \
  case HB_##name: return #name;
    HB_STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
  }
  return "?";
}

static inline void expect_outcome(const seed *s, hb_status status, const char *message) {
  if (strcmp(status_name(status), s->status) != 0 || strcmp(message, s->message) != 0)
    fail_msg("%s: %s: \"%s\", not %s: \"%s\"", s->name, status_name(status), message, s->status,
             s->message);
}

static inline cJSON *read_expectations(const char *topic) {
  char path[256];
  size_t size;
  snprintf(path, sizeof path, "tests/fuzz/%s.json", topic);
  char *text = (char *)read_file(path, &size);
  cJSON *expectations = cJSON_ParseWithLength(text, size);
  free(text);
  assert_non_null(expectations);
  return expectations;
}

/* Calls `check` with each seed whose name begins so. */
static inline void check_seeds(const char *topic, const char *prefix,
                               void (*check)(const seed *s)) {
  cJSON *expectations = read_expectations(topic);
  size_t count = 0;
  for (cJSON *row = expectations->child; row; row = row->next) {
    if (strncmp(row->string, prefix, strlen(prefix)) != 0) continue;
    char path[256];
    seed s = {.name = row->string,
              .status = cJSON_GetStringValue(cJSON_GetObjectItem(row, "status")),
              .message = cJSON_GetStringValue(cJSON_GetObjectItem(row, "message"))};
    snprintf(path, sizeof path, "tests/fuzz/seeds/%s/%s", topic, row->string);
    s.data = read_file(path, &s.size);
    check(&s);
    free(s.data);
    count++;
  }
  assert_true(count > 0);
  cJSON_Delete(expectations);
}

/* Every seed must have an expectation, but those that a fuzzer found: replaying them suffices. */
static inline void check_list(const char *topic) {
  cJSON *expectations = read_expectations(topic);
  char path[256];
  snprintf(path, sizeof path, "tests/fuzz/seeds/%s", topic);
  DIR *folder = opendir(path);
  assert_non_null(folder);
  for (struct dirent *e; (e = readdir(folder));)
    if (e->d_name[0] != '.' && strncmp(e->d_name, "found-", 6) != 0 &&
        !cJSON_GetObjectItem(expectations, e->d_name))
      fail_msg("%s is not in tests/fuzz/%s.json", e->d_name, topic);
  closedir(folder);
  cJSON_Delete(expectations);
}

#endif
