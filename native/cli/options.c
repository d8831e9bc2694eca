#include "options.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum option_kind {
  KIND_FLAG,
  KIND_TEXT,
  KIND_LIST,
  KIND_U32,
  KIND_U64,
  KIND_F32,
  KIND_SIZE,
  KIND_ISA,
  KIND_KV,
  KIND_SPLIT,
  KIND_CONVENTION,
} option_kind;

typedef struct option {
  char letter;
  const char *name;
  const char *argument;
  option_kind kind;
  size_t offset; /* of the field in cli_options */
  double least, most;
  const char *standard; /* the default, as it would be typed */
  const char *help;
} option;

static const option option_table[OPTION_COUNT] = {
#define CLI_OPTION_ROW(id, letter, name, argument, kind, field, least, most, standard, help)       \
  {letter, name, argument, KIND_##kind, offsetof(cli_options, field), least, most, standard, help},
    CLI_OPTION_LIST(CLI_OPTION_ROW)
#undef CLI_OPTION_ROW
};

bool cli_given(const cli_options *options, cli_option_id id) {
  return options->given[id];
}

static bool is_listed(const cli_option_id *list, cli_option_id id) {
  for (; list && *list != OPTION_COUNT; list++)
    if (*list == id) return true;
  return false;
}

static bool takes(const cli_command *command, cli_option_id id) {
  return id == OPTION_HELP || is_listed(command->takes, id);
}

/* ---- Values ---- */

static bool parse_u64(const char *text, uint64_t *out) {
  if (text[0] < '0' || text[0] > '9') return false;
  char *end;
  errno = 0;
  unsigned long long value = strtoull(text, &end, 10);
  *out = value;
  return *end == 0 && errno == 0;
}

static bool parse_real(const char *text, double *out) {
  if (strspn(text, "0123456789.+-eE") != strlen(text) || !text[0]) return false;
  char *end;
  *out = strtod(text, &end);
  return *end == 0 && isfinite(*out);
}

/* "2G", "512M", "1.5GiB", "300000": bytes, units being powers of 1024. */
static bool parse_size(const char *text, uint64_t *out) {
  static const char units[] = "KMGT";
  char number[24];
  size_t length = strspn(text, "0123456789.");
  double value;
  if (length == 0 || length >= sizeof number) return false;
  memcpy(number, text, length);
  number[length] = 0;
  const char *unit = text + length, *found = *unit ? strchr(units, *unit & ~0x20) : NULL;
  if (!parse_real(number, &value)) return false;
  for (int i = 0; found && i <= (int)(found - units); i++) value *= 1024;
  unit += found != NULL;
  bool ends = !*unit || strcmp(unit, "B") == 0 || (found && strcmp(unit, "iB") == 0);
  *out = value >= 1 && value < 0x1p63 ? (uint64_t)value : 0;
  return ends && *out > 0;
}

static bool parse_isa(const char *text, hb_isa *out) {
#define PARSE_ISA(id, number, name)                                                                \
  if (strcmp(text, name) == 0) {                                                                   \
    *out = HB_ISA_##id;                                                                            \
    return true;                                                                                   \
  }
  HB_ISA_LIST(PARSE_ISA)
#undef PARSE_ISA
  return false;
}

/* The index of `text` in a list of `count` words, or -1. */
static int find_word(const char *text, const char *const *words, int count) {
  for (int i = 0; i < count; i++)
    if (strcmp(text, words[i]) == 0) return i;
  return -1;
}

static bool wrong_value(const option *o, const char *text, const char *expected) {
  fprintf(stderr, "halfbyte: --%s takes %s, not '%s'\n", o->name, expected, text);
  return false;
}

static bool set_number(const option *o, const char *text, void *field) {
  char expected[80];
  uint64_t whole = 0;
  double real = 0;
  bool fits;
  if (o->kind == KIND_F32) {
    snprintf(expected, sizeof expected, "a number from %g to %g", o->least, o->most);
    fits = parse_real(text, &real) && real >= o->least && real <= o->most;
  } else {
    if (o->most < (double)UINT32_MAX) {
      snprintf(expected, sizeof expected, "a whole number from %.0f to %.0f", o->least, o->most);
    } else {
      snprintf(expected, sizeof expected, "a whole number, %.0f or more", o->least);
    }
    uint64_t most = o->kind == KIND_U64 ? UINT64_MAX : (uint64_t)o->most;
    fits = parse_u64(text, &whole) && whole >= (uint64_t)o->least && whole <= most;
  }
  if (!fits) return wrong_value(o, text, expected);
  if (o->kind == KIND_F32) *(float *)field = (float)real;
  if (o->kind == KIND_U32) *(uint32_t *)field = (uint32_t)whole;
  if (o->kind == KIND_U64) *(uint64_t *)field = whole;
  return true;
}

static bool set_choice(const option *o, const char *text, void *field) {
  static const char *const kv_names[] = {"f16", "f32"};
  static const char *const split_names[] = {"whole", "pieces", "single"};
  static const char *const convention_names[] = {"llama", "hf"};
  int found;
  switch (o->kind) {
  case KIND_KV:
    if ((found = find_word(text, kv_names, 2)) < 0) return wrong_value(o, text, "f16 or f32");
    *(hb_kv_type *)field = found ? HB_KV_F32 : HB_KV_F16;
    return true;
  case KIND_SPLIT:
    found = find_word(text, split_names, 3);
    if (found < 0) return wrong_value(o, text, "whole, pieces or single");
    *(cli_split *)field = (cli_split)found;
    return true;
  case KIND_CONVENTION:
    found = find_word(text, convention_names, 2);
    if (found < 0) return wrong_value(o, text, "llama or hf");
    *(cli_convention *)field = (cli_convention)found;
    return true;
  default:
    if (parse_isa(text, field)) return true;
    return wrong_value(o, text, "the name of an instruction set");
  }
}

static bool add_to_list(const option *o, const char *text, cli_list *list) {
  if (list->count == CLI_MAX_LIST) {
    fprintf(stderr, "halfbyte: more than %d times --%s\n", CLI_MAX_LIST, o->name);
    return false;
  }
  if (!text[0]) return wrong_value(o, text, "a text that is not empty");
  list->texts[list->count++] = text;
  return true;
}

static bool set_option(const option *o, const char *text, cli_options *out) {
  void *field = (char *)out + o->offset;
  switch (o->kind) {
  case KIND_FLAG: *(bool *)field = true; return true;
  case KIND_TEXT: *(const char **)field = text; return true;
  case KIND_LIST: return add_to_list(o, text, field);
  case KIND_SIZE:
    return parse_size(text, field) || wrong_value(o, text, "a size such as 512M or 2G");
  case KIND_U32:
  case KIND_U64:
  case KIND_F32: return set_number(o, text, field);
  default: return set_choice(o, text, field);
  }
}

/* ---- The command line ---- */

/* The option of the command that `text` ("-m", "--model", "--model=x") names, or OPTION_COUNT.
 * *value becomes what stands behind the equals sign, or NULL. */
static cli_option_id find_option(const cli_command *command, const char *text, const char **value) {
  *value = NULL;
  for (int id = 0; id < OPTION_COUNT; id++) {
    const option *o = &option_table[id];
    if (!takes(command, (cli_option_id)id)) continue;
    if (text[1] != '-') {
      if (text[1] == o->letter && !text[2]) return (cli_option_id)id;
      continue;
    }
    size_t length = strlen(o->name);
    if (strncmp(text + 2, o->name, length) != 0) continue;
    if (text[2 + length] == '=') *value = text + 3 + length;
    if (text[2 + length] == '=' || text[2 + length] == 0) return (cli_option_id)id;
  }
  return OPTION_COUNT;
}

static void set_defaults(cli_options *out) {
  *out = (cli_options){.isa = hb_isa_best()};
  for (int id = 0; id < OPTION_COUNT; id++)
    if (option_table[id].standard) set_option(&option_table[id], option_table[id].standard, out);
}

static bool see_help(const cli_command *command) {
  fprintf(stderr, "See halfbyte %s --help.\n", command->name);
  return false;
}

static void print_name(FILE *stream, const option *o) {
  if (o->letter) {
    fprintf(stream, "-%c", o->letter);
  } else {
    fprintf(stream, "--%s", o->name);
  }
  if (o->argument) fprintf(stream, " %s", o->argument);
}

/* Takes the option at arguments[*at] and moves *at behind it. */
static bool take_option(const cli_command *command, int count, char **arguments, int *at,
                        cli_options *out) {
  const char *text = arguments[(*at)++], *value;
  cli_option_id id = find_option(command, text, &value);
  if (id == OPTION_COUNT) {
    fprintf(stderr, "halfbyte: %s has no option %.*s\n", command->name, (int)strcspn(text, "="),
            text);
    return see_help(command);
  }
  const option *o = &option_table[id];
  if (!o->argument && value) {
    fprintf(stderr, "halfbyte: --%s takes no value\n", o->name);
    return see_help(command);
  }
  if (o->argument && !value) {
    if (*at == count) {
      fprintf(stderr, "halfbyte: %s needs a value: %s\n", text, o->argument);
      return see_help(command);
    }
    value = arguments[(*at)++];
  }
  out->given[id] = true;
  return set_option(o, value, out) || see_help(command);
}

static bool check_complete(const cli_command *command, const cli_options *options) {
  if (options->operand_count < command->least_operands) {
    fprintf(stderr, "halfbyte: %s needs %s\n", command->name, command->operands);
    return see_help(command);
  }
  for (int id = 0; id < OPTION_COUNT; id++) {
    cli_option_id needed = (cli_option_id)id;
    if (!is_listed(command->needs, needed) || cli_given(options, needed)) continue;
    fprintf(stderr, "halfbyte: %s needs ", command->name);
    print_name(stderr, &option_table[id]);
    fprintf(stderr, "\n");
    return see_help(command);
  }
  return true;
}

bool cli_parse(const cli_command *command, int count, char **arguments, cli_options *out) {
  set_defaults(out);
  bool options_end = false;
  for (int at = 0; at < count;) {
    const char *text = arguments[at];
    if (!options_end && strcmp(text, "--") == 0) {
      options_end = true;
      at++;
    } else if (!options_end && text[0] == '-' && text[1]) {
      if (!take_option(command, count, arguments, &at, out)) return false;
      if (out->help) return true;
    } else {
      if (out->operand_count == command->most_operands) {
        fprintf(stderr, "halfbyte: %s has no use for '%s'\n", command->name, text);
        return see_help(command);
      }
      out->operands[out->operand_count++] = text;
      at++;
    }
  }
  return check_complete(command, out);
}

/* ---- Help ---- */

void cli_print_help(const cli_command *command) {
  printf("usage: halfbyte %s", command->name);
  for (int id = 0; id < OPTION_COUNT; id++) {
    if (!is_listed(command->needs, (cli_option_id)id)) continue;
    printf(" ");
    print_name(stdout, &option_table[id]);
  }
  printf(" [options]%s%s\n\n%s.\n", command->operands[0] ? " " : "", command->operands,
         command->summary);
  if (command->details) printf("%s\n", command->details);
  printf("\noptions:\n");
  for (int id = 0; id < OPTION_COUNT; id++) {
    const option *o = &option_table[id];
    if (!takes(command, (cli_option_id)id)) continue;
    char name[40];
    snprintf(name, sizeof name, "--%s %s", o->name, o->argument ? o->argument : "");
    char letter[4] = {o->letter ? '-' : ' ', o->letter ? o->letter : ' ', o->letter ? ',' : ' ', 0};
    printf("  %s %-20s %s", letter, name, o->help);
    if (o->standard) printf(" (default %s)", o->standard);
    printf("\n");
  }
}
