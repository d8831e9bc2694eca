/* A program outside of the project, in the C and the C++ that both languages share: prints the
 * version, then what a model writes. */
#include <halfbyte.h>

#include <stdio.h>
#include <string.h>

/* Prints the reason for a failure, if it is one. */
static int failed(hb_status status, const hb_error *error) {
  if (status != HB_OK) fprintf(stderr, "%s: %s\n", hb_status_text(status), error->message);
  return status != HB_OK;
}

static int generate(hb_session *session, hb_error *error) {
  hb_generate_options options;
  memset(&options, 0, sizeof options);
  options.sampler = hb_sampler_defaults();
  options.max_tokens = 16;
  hb_generator *generator = NULL;
  if (failed(hb_generator_create(session, &options, &generator, error), error)) return 1;
  hb_piece piece;
  do {
    if (failed(hb_generator_next(generator, &piece, error), error)) return 1;
    fwrite(piece.text.data, 1, piece.text.length, stdout);
  } while (piece.finish == HB_FINISH_NONE);
  puts("");
  hb_generator_destroy(generator);
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 2 || strcmp(HB_VERSION, hb_version()) != 0) return 2;
  puts(hb_version());

  hb_error error;
  hb_load_options load;
  memset(&load, 0, sizeof load);
  load.isa = hb_isa_best();
  hb_model *model = NULL;
  if (failed(hb_load_file(argv[1], &load, NULL, &model, &error), &error)) return 1;

  hb_threads *threads = NULL;
  if (failed(hb_threads_create(2, &threads, &error), &error)) return 1;
  hb_session_options options;
  memset(&options, 0, sizeof options);
  options.parallel = hb_threads_parallel(threads);
  options.context_length = 64;
  hb_session *session = NULL;
  if (failed(hb_session_create(model, &options, &session, &error), &error)) return 1;

  const char *prompt = "Once upon a time";
  hb_string text = {prompt, strlen(prompt)};
  hb_token tokens[32];
  size_t count = 0;
  hb_status status = hb_tokenize(hb_model_tokenizer(model), text, HB_TOKENIZE_BOS, NULL, tokens, 32,
                                 &count, &error);
  if (failed(status, &error)) return 1;
  if (failed(hb_session_append(session, tokens, count, &error), &error)) return 1;
  int result = generate(session, &error);

  hb_session_destroy(session);
  hb_threads_destroy(threads);
  hb_model_destroy(model);
  return result;
}
