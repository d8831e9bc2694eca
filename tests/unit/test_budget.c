/* Types under a budget: the choice against all choices there are, and what it gains. */
#include "compress/budget.h"
#include "calibrating.h"

#include <math.h>

#define SMALL "vectors/arch/llama.gguf" /* random weights, rows of 64 and more */

/* ---- The choice ---- */

enum { ITEMS = 5 };

static uint32_t draw(uint32_t *state, uint32_t below) {
  *state = *state * 1664525u + 1013904223u;
  return (uint32_t)((uint64_t)*state * below >> 32);
}

/* Sizes and losses in any order, not all of them on a convex curve. */
static void draw_items(hb_budget_item *items, uint32_t *state) {
  for (int i = 0; i < ITEMS; i++) {
    items[i] = (hb_budget_item){.count = 1 + draw(state, 5)};
    for (uint32_t c = 0; c < items[i].count; c++) {
      items[i].bytes[c] = 1 + draw(state, 40);
      items[i].loss[c] = draw(state, 1000);
    }
  }
}

/* The least loss of all choices that fit; INFINITY if none does. */
static double best_of_all(const hb_budget_item *items, int count, int64_t most) {
  if (most < 0) return INFINITY;
  if (count == 0) return 0;
  double best = INFINITY;
  for (uint32_t c = 0; c < items->count; c++) {
    double loss =
        items->loss[c] + best_of_all(items + 1, count - 1, most - (int64_t)items->bytes[c]);
    if (loss < best) best = loss;
  }
  return best;
}

static int64_t largest_step(const hb_budget_item *items) {
  int64_t largest = 0;
  for (int i = 0; i < ITEMS; i++)
    for (uint32_t a = 0; a < items[i].count; a++)
      for (uint32_t b = 0; b < items[i].count; b++) {
        int64_t step = (int64_t)items[i].bytes[a] - (int64_t)items[i].bytes[b];
        if (step > largest) largest = step;
      }
  return largest;
}

static void the_choice_fits_and_is_as_good_as_any_a_step_below_the_budget(void **state) {
  (void)state;
  uint32_t seed = 1, optimal = 0, cases = 0;
  for (int round = 0; round < 400; round++) {
    hb_budget_item items[ITEMS];
    draw_items(items, &seed);
    int64_t most = 20 + draw(&seed, 150);
    double best = best_of_all(items, ITEMS, most);
    uint64_t bytes = hb_budget_solve(items, ITEMS, (uint64_t)most), sum = 0;
    double loss = 0;
    for (int i = 0; i < ITEMS; i++) {
      sum += items[i].bytes[items[i].chosen];
      loss += items[i].loss[items[i].chosen];
    }
    assert_int_equal(bytes, sum);
    assert_int_equal(bytes > (uint64_t)most, isinf(best));
    if (isinf(best)) continue;
    assert_true(loss >= best);
    assert_true(loss <= best_of_all(items, ITEMS, most - largest_step(items)));
    cases++;
    optimal += loss == best;
  }
  assert_true(cases > 200);
  assert_true(optimal > cases / 2);
}

static void what_more_bytes_do_not_improve_stays_small(void **state) {
  (void)state;
  hb_budget_item items[] = {{.count = 3, .bytes = {2, 3, 4}, .loss = {5, 5, 6}},
                            {.count = 2, .bytes = {7, 7}, .loss = {9, 8}}};
  assert_int_equal(hb_budget_solve(items, 2, 100), 9);
  assert_int_equal(items[0].chosen, 0);
  assert_int_equal(items[1].chosen, 1);
}

/* ---- A model ---- */

static hb_quantize_options options_for(const char *method, const hb_parallel *parallel) {
  return (hb_quantize_options){.parallel = parallel,
                               .type = "q4_k",
                               .method = method,
                               .calibration = tokens,
                               .calibration_samples = SAMPLES,
                               .calibration_length = LENGTH};
}

static hb_status choose(const gguf_file *from, const hb_quantize_options *options, double bits,
                        hb_budget_choice *out, hb_error *error) {
  hb_source source = {from->gguf, (void *)from, read_bytes};
  return hb_budget_choose(&source, options, bits, out, error);
}

/* From malloc. */
static hb_budget_choice *chosen(const gguf_file *from, const hb_quantize_options *options,
                                double bits) {
  hb_error error;
  hb_budget_choice *out = calloc(hb_gguf_tensor_count(from->gguf), sizeof *out);
  if (choose(from, options, bits, out, &error) != HB_OK) fail_msg("%s", error.message);
  return out;
}

/* Bits per weight of all matrices; checks sizes. */
static double bits_of(const gguf_file *from, const hb_budget_choice *choices) {
  double bytes = 0, values = 0;
  for (size_t i = 0; i < hb_gguf_tensor_count(from->gguf); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(from->gguf, i);
    if (t->dim_count < 2) {
      assert_int_equal(choices[i].bytes, 0);
      assert_int_equal(choices[i].type, t->type);
      continue;
    }
    const hb_type_traits *traits = hb_traits(choices[i].type);
    assert_int_equal(t->dims[0] % traits->block_values, 0);
    assert_int_equal(choices[i].bytes,
                     t->dims[0] * t->dims[1] / traits->block_values * traits->block_bytes);
    bytes += (double)choices[i].bytes;
    values += (double)(t->dims[0] * t->dims[1]);
  }
  return 8 * bytes / values;
}

typedef struct selection {
  const gguf_file *from;
  const hb_budget_choice *choices;
} selection;

static hb_type type_of(void *context, const hb_tensor *tensor, hb_type type) {
  const selection *s = context;
  for (size_t i = 0; i < hb_gguf_tensor_count(s->from->gguf); i++)
    if (hb_gguf_tensor_at(s->from->gguf, i) == tensor) return s->choices[i].type;
  return type;
}

/* Rounded alike: what differs is where the bits are. */
static void a_mixture_is_closer_than_one_type_of_its_size(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL);
  read_tokens(&from);
  hb_quantize_options options = options_for("rtn", NULL);
  hb_budget_choice *choices = chosen(&from, &options, 4.5);
  double bits = bits_of(&from, choices);
  assert_true(bits <= 4.5 && bits > 4.45);
  gguf_file plain = quantized(&from, &options);
  selection s = {&from, choices};
  options.context = &s;
  options.choose = type_of;
  gguf_file mixed = quantized(&from, &options);
  double far = distance(&from, &plain), near = distance(&from, &mixed);
  if (!(near < 0.9 * far)) fail_msg("%g, q4_k: %g", near, far);
  free(choices);
  gguf_file_close(&plain);
  gguf_file_close(&mixed);
  gguf_file_close(&from);
}

static void more_bits_never_disturb_more(void **state) {
  (void)state;
  NEED_SHARED(SMALL);
  gguf_file from = gguf_file_shared(SMALL);
  draw_tokens();
  hb_quantize_options options = options_for("gptq", NULL);
  double before = INFINITY;
  for (double bits = 5; bits <= 17; bits += 3) {
    hb_budget_choice *choices = chosen(&from, &options, bits);
    double sum = 0;
    assert_true(bits_of(&from, choices) <= bits);
    for (size_t i = 0; i < hb_gguf_tensor_count(from.gguf); i++) sum += choices[i].sensitivity;
    assert_true(sum < before || bits == 17);
    before = sum;
    free(choices);
  }
  assert_true(before < 1e-4); /* all F16 */
  gguf_file_close(&from);
}

static void threads_do_not_change_a_choice(void **state) {
  (void)state;
  NEED_SHARED(SMALL);
  gguf_file from = gguf_file_shared(SMALL);
  draw_tokens();
  hb_threads *threads;
  hb_error error;
  assert_int_equal(hb_threads_create(3, &threads, &error), HB_OK);
  hb_quantize_options alone = options_for("gptq", NULL);
  hb_quantize_options together = options_for("gptq", hb_threads_parallel(threads));
  hb_budget_choice *a = chosen(&from, &alone, 6), *b = chosen(&from, &together, 6);
  for (size_t i = 0; i < hb_gguf_tensor_count(from.gguf); i++) {
    assert_int_equal(a[i].type, b[i].type);
    assert_memory_equal(&a[i].sensitivity, &b[i].sensitivity, sizeof(double));
  }
  free(a);
  free(b);
  hb_threads_destroy(threads);
  gguf_file_close(&from);
}

static void refuses(const gguf_file *from, const hb_quantize_options *options, double bits,
                    const char *words) {
  hb_error error;
  hb_budget_choice *out = calloc(hb_gguf_tensor_count(from->gguf), sizeof *out);
  assert_int_equal(choose(from, options, bits, out, &error), HB_ARGUMENT);
  if (!strstr(error.message, words)) fail_msg("%s", error.message);
  free(out);
}

static void budgets_that_cannot_be_kept_are_refused_with_the_numbers(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = first_layers();
  draw_tokens();
  hb_quantize_options options = options_for("gptq", NULL);
  refuses(&from, &options, 2.5, "2.50 bits a weight is too small: the smallest types need 2.63");
  refuses(&from, &options, NAN, "more than 0");
  refuses(&from, &options, 33, "at most 32");
  options.method = "spqr";
  refuses(&from, &options, 5, "method spqr");
  options.method = "gptq";
  options.calibration = NULL;
  refuses(&from, &options, 5, "needs text to calibrate with");
  gguf_file_close(&from);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_choice_fits_and_is_as_good_as_any_a_step_below_the_budget),
      cmocka_unit_test(what_more_bytes_do_not_improve_stays_small),
      cmocka_unit_test(a_mixture_is_closer_than_one_type_of_its_size),
      cmocka_unit_test(more_bits_never_disturb_more),
      cmocka_unit_test(threads_do_not_change_a_choice),
      cmocka_unit_test(budgets_that_cannot_be_kept_are_refused_with_the_numbers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
