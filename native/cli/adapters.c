#include "adapters.h"
#include "common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Where the scale begins, or NULL: what follows an equals sign and is no number belongs to the
 * name. */
static const char *find_scale(const char *text, double *scale) {
  const char *sign = strrchr(text, '=');
  char *end;
  if (!sign || !sign[1] || strspn(sign + 1, "0123456789.+-eE") != strlen(sign + 1)) return NULL;
  *scale = strtod(sign + 1, &end);
  return *end == 0 && isfinite(*scale) ? sign + 1 : NULL;
}

bool cli_adapter_open(const char *text, cli_adapter *out) {
  *out = (cli_adapter){.scale = 1};
  const char *scale = find_scale(text, &out->scale);
  size_t length = scale ? (size_t)(scale - text) - 1 : strlen(text);
  hb_error error;
  out->path = malloc(length + 1);
  if (!out->path) {
    cli_fail("no memory");
    return false;
  }
  memcpy(out->path, text, length);
  out->path[length] = 0;
  if (hb_file_open(out->path, &out->file, &error) == HB_OK) return true;
  cli_fail_error(&error);
  cli_adapter_close(out);
  return false;
}

void cli_adapter_close(cli_adapter *adapter) {
  hb_file_close(&adapter->file);
  free(adapter->path);
  *adapter = (cli_adapter){0};
}

static bool add(hb_model *model, const char *text) {
  cli_adapter adapter;
  hb_error error;
  if (!cli_adapter_open(text, &adapter)) return false;
  hb_status status =
      hb_model_adapt(model, adapter.file.data, (size_t)adapter.file.size, adapter.scale, &error);
  cli_adapter_close(&adapter);
  if (status == HB_OK) return true;
  cli_fail("--lora %s: %s", text, error.message);
  return false;
}

bool cli_add_adapters(hb_model *model, const cli_options *options) {
  for (uint32_t i = 0; i < options->adapters.count; i++)
    if (!add(model, options->adapters.texts[i])) return false;
  return true;
}
