#include "adapters.h"
#include "commands.h"
#include "common.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* X(NAME, number, ...) -> a row of all types. */
#define SHOWN_TYPE(name, ...) HB_TYPE_##name,
static const hb_type shown_types[] = {HB_TYPE_LIST(SHOWN_TYPE) HB_PRIVATE_TYPE_LIST(SHOWN_TYPE)};
#undef SHOWN_TYPE
enum { SHOWN_TYPES = sizeof shown_types / sizeof *shown_types };

static void label(const char *name) {
  printf("%-14s ", name);
}

/* ---- Metadata ---- */

#define SHOWN_ELEMENTS 6

static void print_scalar(const hb_value *value, hb_value_type type, uint64_t index) {
  int64_t whole;
  uint64_t natural;
  double real;
  int truth;
  if (type == HB_VALUE_BOOL && value->type == HB_VALUE_BOOL) {
    printf("%s", hb_value_bool(value, &truth, NULL) == HB_OK && truth ? "true" : "false");
  } else if (type == HB_VALUE_F32 || type == HB_VALUE_F64) {
    if (hb_value_f64(value, index, &real, NULL) == HB_OK) printf("%.9g", real);
  } else if (hb_value_i64(value, index, &whole, NULL) == HB_OK) {
    printf("%" PRId64, whole);
  } else if (hb_value_u64(value, index, &natural, NULL) == HB_OK) {
    printf("%" PRIu64, natural);
  } else {
    printf("%u", value->data[index]); /* an array of booleans */
  }
}

static void print_short(hb_string text) {
  bool cut = text.length > 72;
  printf("\"");
  cli_print_string((hb_string){text.data, cut ? 72 : text.length});
  printf(cut ? "...\" (%zu bytes)" : "\"", text.length);
}

static void print_array(const hb_value *value) {
  uint64_t cursor = 0;
  hb_string text;
  printf("%" PRIu64 " [", value->count);
  for (uint64_t i = 0; i < value->count && i < SHOWN_ELEMENTS; i++) {
    if (i) printf(", ");
    if (value->element != HB_VALUE_STRING) {
      print_scalar(value, value->element, i);
    } else if (hb_value_next_string(value, &cursor, &text, NULL) == HB_OK) {
      print_short(text);
    }
  }
  printf(value->count > SHOWN_ELEMENTS ? ", ...]" : "]");
}

static void print_keys(const hb_gguf *gguf) {
  hb_string text;
  printf("\nkeys:\n");
  for (size_t i = 0; i < hb_gguf_value_count(gguf); i++) {
    const hb_value *value = hb_gguf_value_at(gguf, i);
    printf("  ");
    cli_print_string(value->key);
    printf(" = ");
    if (value->type == HB_VALUE_ARRAY) {
      print_array(value);
    } else if (value->type != HB_VALUE_STRING) {
      print_scalar(value, value->type, 0);
    } else if (hb_value_string(value, &text, NULL) == HB_OK) {
      print_short(text);
    }
    printf("\n");
  }
}

/* ---- Tensors ---- */

/* `model` is NULL if the file's cannot run. */
static hb_type type_of(const hb_model *model, const hb_tensor *tensor) {
  return model ? hb_model_tensor_type(model, tensor) : tensor->type;
}

static void print_tensors(const hb_gguf *gguf, const hb_model *model) {
  char size[24], shape[96];
  printf("\ntensors:\n");
  for (size_t i = 0; i < hb_gguf_tensor_count(gguf); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(gguf, i);
    int length = 0;
    for (uint32_t d = 0; d < t->dim_count; d++)
      length += snprintf(shape + length, sizeof shape - (size_t)length,
                         d ? " x %" PRIu64 : "%" PRIu64, t->dims[d]);
    printf("  %-8s %-20s %10s  ", hb_type_name(type_of(model, t)), shape, cli_size(t->bytes, size));
    cli_print_string(t->name);
    printf("\n");
  }
}

typedef struct totals {
  uint64_t tensors, values, bytes;
  uint64_t type_tensors[SHOWN_TYPES], type_bytes[SHOWN_TYPES];
} totals;

static totals count_tensors(const hb_gguf *gguf, const hb_model *model) {
  totals sum = {0};
  sum.tensors = hb_gguf_tensor_count(gguf);
  for (size_t i = 0; i < sum.tensors; i++) {
    const hb_tensor *t = hb_gguf_tensor_at(gguf, i);
    sum.values += t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
    sum.bytes += t->bytes;
    size_t type = 0;
    while (shown_types[type] != type_of(model, t)) type++;
    sum.type_tensors[type]++;
    sum.type_bytes[type] += t->bytes;
  }
  return sum;
}

static void print_totals(const totals *sum) {
  char size[24];
  label("parameters");
  printf("%.2f M (%" PRIu64 ")\n", (double)sum->values / 1e6, sum->values);
  label("tensors");
  printf("%" PRIu64 ", %s\n", sum->tensors, cli_size(sum->bytes, size));
  for (size_t type = 0; type < SHOWN_TYPES; type++) {
    if (!sum->type_tensors[type]) continue;
    printf("  %-12s %" PRIu64 ", %s\n", hb_type_name(shown_types[type]), sum->type_tensors[type],
           cli_size(sum->type_bytes[type], size));
  }
  if (!sum->values) return;
  label("bits/weight");
  printf("%.3f\n", 8.0 * (double)sum->bytes / (double)sum->values);
}

/* ---- The model ---- */

static void print_string_key(const hb_gguf *gguf, const char *name, const char *key) {
  hb_string text;
  const hb_value *value = hb_gguf_value(gguf, key);
  if (!value || hb_value_string(value, &text, NULL) != HB_OK) return;
  label(name);
  cli_print_string(text);
  printf("\n");
}

static void print_info(const hb_model_info *info) {
  label("layers");
  printf("%" PRIu32 "\n", info->layers);
  label("width");
  printf("%" PRIu32 ", feed forward %" PRIu32 "\n", info->width, info->feed_forward);
  label("heads");
  printf("%" PRIu32 " of %" PRIu32 ", %" PRIu32 " of keys and values\n", info->heads,
         info->head_size, info->kv_heads);
  label("vocabulary");
  printf("%" PRIu32 "\n", info->vocabulary);
  label("context");
  printf("%" PRIu32 "\n", info->context_length);
}

static bool print_memory(const hb_model *model, const hb_model_info *info,
                         const cli_options *options) {
  char weights[24], session_size[24], sum[24];
  hb_session_options session = {.context_length = options->context, .kv = options->kv};
  uint64_t bytes;
  hb_error error;
  if (!session.context_length) session.context_length = info->context_length;
  if (hb_session_memory(model, &session, &bytes, &error) != HB_OK) {
    cli_fail_error(&error);
    return false;
  }
  label("memory");
  printf("%s at context %" PRIu32 ": weights %s, session %s\n",
         cli_size(bytes + info->weight_bytes, sum), session.context_length,
         cli_size(info->weight_bytes, weights), cli_size(bytes, session_size));
  return true;
}

static void print_program(const hb_model *model) {
  char line[256];
  printf("\nprogram:\n");
  for (size_t i = 0; hb_model_operation(model, i, line, sizeof line) > 0; i++)
    printf("%5zu  %s\n", i, line);
}

/* A file whose model cannot run is still shown, with the reason. */
static int inspect_file(const hb_gguf *gguf, const cli_options *options) {
  hb_load_options load = {.isa = hb_isa_best(), .header_only = 1};
  hb_model *model;
  hb_error error;
  hb_status status = hb_load_file(options->operands[0], &load, NULL, &model, &error);
  hb_model_info info;
  if (model && !cli_add_adapters(model, options)) {
    hb_model_destroy(model);
    return CLI_FAILED;
  }
  if (model) hb_model_get_info(model, &info);
  totals sum = count_tensors(gguf, model);
  if (model) sum.values = info.parameters;

  print_string_key(gguf, "name", "general.name");
  print_string_key(gguf, "architecture", "general.architecture");
  print_string_key(gguf, "tokenizer", "tokenizer.ggml.model");
  if (model) print_info(&info);
  print_totals(&sum);
  bool ok = !model || print_memory(model, &info, options);
  if (!model) {
    label("cannot run");
    printf("%s: %s\n", hb_status_text(status), error.message);
  }
  if (options->list_keys) print_keys(gguf);
  if (options->list_tensors) print_tensors(gguf, model);
  if (options->list_program && model) print_program(model);
  hb_model_destroy(model);
  return ok ? CLI_OK : CLI_FAILED;
}

static int inspect(const cli_options *options) {
  hb_source source;
  hb_error error;
  if (hb_source_open(options->operands[0], &source, &error) != HB_OK) return cli_fail_error(&error);
  int code = inspect_file(source.gguf, options);
  hb_source_close(&source);
  return code;
}

const cli_command command_inspect = {
    .name = "inspect",
    .operands = "FILE",
    .summary = "Shows what a GGUF file holds and the memory that it needs",
    .takes = CLI_OPTIONS(OPTION_LORA, OPTION_CONTEXT, OPTION_KV, OPTION_TENSORS, OPTION_KEYS,
                         OPTION_PROGRAM),
    .least_operands = 1,
    .most_operands = 1,
    .run = inspect,
};
