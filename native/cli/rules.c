#include "rules.h"
#include "common.h"

#include <string.h>

static bool read_rule(const char *text, size_t length, cli_rules *out) {
  const char *equals = memchr(text, '=', length);
  size_t pattern = equals ? (size_t)(equals - text) : 0;
  cli_rule rule = {{text, pattern}, HB_TYPE_F32};
  if (pattern == 0) {
    cli_fail("--tensor takes rules such as attn_v=q6_k, not '%.*s'", (int)length, text);
    return false;
  }
  if (hb_type_from_name((hb_string){equals + 1, length - pattern - 1}, &rule.type) != HB_OK) {
    cli_fail("--tensor: '%.*s' does not end with the name of a tensor type", (int)length, text);
    return false;
  }
  if (out->count == CLI_MAX_RULES) {
    cli_fail("--tensor takes at most %d rules", CLI_MAX_RULES);
    return false;
  }
  out->rules[out->count++] = rule;
  return true;
}

/* Length of the wildcard at the pattern's beginning, or 0. */
static size_t wildcard(hb_string pattern) {
  if (pattern.length > 0 && pattern.data[0] == '*') return 1;
  return pattern.length > 1 && pattern.data[0] == '.' && pattern.data[1] == '*' ? 2 : 0;
}

/* Whether the name begins with what the pattern describes. */
static bool begins(hb_string name, hb_string pattern) {
  while (pattern.length > 0) {
    size_t skip = wildcard(pattern);
    if (skip > 0) {
      hb_string rest = {pattern.data + skip, pattern.length - skip};
      for (size_t i = 0; i <= name.length; i++)
        if (begins((hb_string){name.data + i, name.length - i}, rest)) return true;
      return false;
    }
    if (name.length == 0 || name.data[0] != pattern.data[0]) return false;
    name = (hb_string){name.data + 1, name.length - 1};
    pattern = (hb_string){pattern.data + 1, pattern.length - 1};
  }
  return true;
}

static bool matches(hb_string name, hb_string pattern) {
  for (size_t i = 0; i <= name.length; i++)
    if (begins((hb_string){name.data + i, name.length - i}, pattern)) return true;
  return false;
}

static bool fits_any(hb_string pattern, const hb_gguf *gguf) {
  size_t i = 0, count = hb_gguf_tensor_count(gguf);
  while (i < count && !matches(hb_gguf_tensor_at(gguf, i)->name, pattern)) i++;
  return i < count;
}

bool cli_rules_read(const char *text, const hb_gguf *gguf, cli_rules *out) {
  for (out->count = 0;; text++) {
    size_t length = strcspn(text, ",");
    if (!read_rule(text, length, out)) return false;
    hb_string pattern = out->rules[out->count - 1].pattern;
    if (!fits_any(pattern, gguf)) {
      cli_fail("--tensor: no tensor's name has '%.*s' in it", (int)pattern.length, pattern.data);
      return false;
    }
    text += length;
    if (*text == '\0') return true;
  }
}

hb_type cli_rules_type(const cli_rules *rules, hb_string name, hb_type type) {
  for (uint32_t i = 0; i < rules->count; i++)
    if (matches(name, rules->rules[i].pattern)) return rules->rules[i].type;
  return type;
}
