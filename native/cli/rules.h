/* Rules that give some tensors another type: "attn_v=q6_k,ffn_down.*=q5_k". */
#ifndef CLI_RULES_H
#define CLI_RULES_H

#include "halfbyte.h"

#include <stdbool.h>

#define CLI_MAX_RULES 64

typedef struct cli_rule {
  hb_string pattern; /* occurs in the tensor's name; * and .* stand for anything */
  hb_type type;
} cli_rule;

typedef struct cli_rules {
  cli_rule rules[CLI_MAX_RULES];
  uint32_t count;
} cli_rules;

/* Reads rules, separated by commas, which must outlive them. Says what is wrong, such as a rule
 * that no tensor's name fits, and returns false. */
bool cli_rules_read(const char *text, const hb_gguf *gguf, cli_rules *out);

/* The type of the first rule that a tensor's name matches, else `type`. */
hb_type cli_rules_type(const cli_rules *rules, hb_string name, hb_type type);

#endif
