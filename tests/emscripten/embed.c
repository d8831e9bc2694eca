/* Runs a model in a program that Emscripten compiled: embed MODEL OUT computes the logits of a few
 * tokens with every ISA that the build contains, writes them to OUT as float32
 * [tokens][vocabulary], and fails unless all ISAs agree bit for bit. */
#include "halfbyte.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const hb_token tokens[] = {1, 300, 412, 263, 271, 999, 17, 2048};

enum { TOKENS = sizeof tokens / sizeof *tokens };

/* Prints the reason and leaves. A test program may; the library never does. */
static void check(hb_status status, const hb_error *error) {
  if (status == HB_OK) return;
  fprintf(stderr, "embed: %s: %s\n", hb_status_text(status), error->message);
  exit(1);
}

static hb_model *load(const char *path, hb_isa isa) {
  hb_error error = {0};
  hb_load_options options = {0};
  options.isa = isa;
  hb_loader *loader = NULL;
  hb_model *model = NULL;
  check(hb_loader_create(&options, &loader, &error), &error);
  check(hb_loader_begin_file(loader, HB_SIZE_UNKNOWN, &error), &error);

  FILE *file = fopen(path, "rb");
  if (!file) {
    perror(path);
    exit(1);
  }
  static char piece[65536];
  for (size_t count; (count = fread(piece, 1, sizeof piece, file)) > 0;)
    check(hb_loader_feed(loader, piece, count, &error), &error);
  fclose(file);

  check(hb_loader_finish(loader, &model, &error), &error);
  hb_loader_destroy(loader);
  return model;
}

/* The logits of every token, [TOKENS][vocabulary]; *bytes gets their size. */
static float *compute(const char *path, hb_isa isa, size_t *bytes) {
  hb_error error = {0};
  check(hb_selftest(isa, NULL, &error), &error);
  hb_model *model = load(path, isa);
  hb_model_info info;
  hb_model_get_info(model, &info);

  hb_session_options options = {0};
  options.context_length = TOKENS;
  options.logit_rows = TOKENS;
  hb_session *session = NULL;
  check(hb_session_create(model, &options, &session, &error), &error);

  hb_row rows[TOKENS];
  for (int i = 0; i < TOKENS; i++) rows[i] = (hb_row){session, tokens[i], 1};
  check(hb_step(session, rows, TOKENS, &error), &error);

  size_t row_bytes = info.vocabulary * sizeof(float);
  *bytes = TOKENS * row_bytes;
  char *out = malloc(*bytes);
  for (size_t i = 0; i < TOKENS; i++)
    memcpy(out + i * row_bytes, hb_session_logits(session, i), row_bytes);

  hb_session_destroy(session);
  hb_model_destroy(model);
  return (float *)out;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fputs("usage: embed MODEL OUT\n", stderr);
    return 2;
  }
  size_t bytes = 0, scalar_bytes = 0;
  float *logits = compute(argv[1], hb_isa_best(), &bytes);
  float *scalar = compute(argv[1], HB_ISA_SCALAR, &scalar_bytes);
  if (bytes != scalar_bytes || memcmp(logits, scalar, bytes) != 0) {
    fprintf(stderr, "embed: %s differs from scalar\n", hb_isa_name(hb_isa_best()));
    return 1;
  }

  FILE *out = fopen(argv[2], "wb");
  if (!out || fwrite(logits, 1, bytes, out) != bytes || fclose(out) != 0) {
    perror(argv[2]);
    return 1;
  }
  printf("%s equals scalar on %d tokens\n", hb_isa_name(hb_isa_best()), (int)TOKENS);
  free(logits);
  free(scalar);
  return 0;
}
