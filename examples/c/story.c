/* Tells a story: the smallest useful program on top of the library.
 *
 *   cc story.c $(pkg-config --cflags --libs halfbyte) -o story && ./story model.gguf "Once upon"
 *
 * or with CMake:
 *
 *   find_package(halfbyte REQUIRED)
 *   add_executable(story story.c)
 *   target_link_libraries(story PRIVATE halfbyte::halfbyte-host)
 */
#include <halfbyte.h>

#include <stdio.h>
#include <string.h>

static hb_status tell(const hb_model *model, const hb_threads *threads, const char *prompt,
                      hb_error *error) {
  hb_session_options session_options = {.parallel = hb_threads_parallel(threads)};
  hb_generate_options options = {.sampler = hb_sampler_defaults(), .max_tokens = 200};
  options.sampler.temperature = 0.8f;
  options.sampler.top_p = 0.95f;
  options.sampler.seed = hb_random_seed();

  hb_session *session = NULL;
  hb_generator *generator = NULL;
  hb_token tokens[512];
  size_t count = 0;
  hb_status status = hb_tokenize(hb_model_tokenizer(model), (hb_string){prompt, strlen(prompt)},
                                 HB_TOKENIZE_BOS, NULL, tokens, 512, &count, error);
  if (count > 512) count = 512;
  if (status == HB_OK) status = hb_session_create(model, &session_options, &session, error);
  if (status == HB_OK) status = hb_session_append(session, tokens, count, error);
  if (status == HB_OK) status = hb_generator_create(session, &options, &generator, error);

  printf("%s", prompt);
  hb_piece piece = {.finish = HB_FINISH_NONE};
  while (status == HB_OK && piece.finish == HB_FINISH_NONE) {
    status = hb_generator_next(generator, &piece, error);
    if (status == HB_OK) fwrite(piece.text.data, 1, piece.text.length, stdout);
    fflush(stdout);
  }
  printf("\n");
  hb_generator_destroy(generator);
  hb_session_destroy(session);
  return status;
}

int main(int argc, char **argv) {
  hb_error error;
  hb_model *model = NULL;
  hb_threads *threads = NULL;
  hb_load_options options = {.isa = hb_isa_best()};
  if (argc < 2) {
    fprintf(stderr, "usage: %s MODEL.gguf [PROMPT]\n", argv[0]);
    return 2;
  }
  hb_status status = hb_load_file(argv[1], &options, NULL, &model, &error);
  if (status == HB_OK) status = hb_threads_create(0, &threads, &error);
  if (status == HB_OK) status = tell(model, threads, argc > 2 ? argv[2] : "", &error);
  if (status != HB_OK) fprintf(stderr, "%s: %s\n", argv[0], error.message);
  hb_threads_destroy(threads);
  hb_model_destroy(model);
  return status == HB_OK ? 0 : 1;
}
