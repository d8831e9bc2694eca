/* The options of a training: what was left open is filled in, all of it is checked. */
#include "train/trainer.h"

static hb_status find_method(const char *name, hb_train_method *out, hb_error *error) {
  static const char *const names[] = {
#define HB_TRAIN_METHOD_NAME(id, text) text,
      HB_TRAIN_METHOD_LIST(HB_TRAIN_METHOD_NAME)
#undef HB_TRAIN_METHOD_NAME
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i], name) == 0) {
      *out = (hb_train_method)i;
      return HB_OK;
    }
#define HB_TRAIN_METHOD_WORD(id, text) " " text
  return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                 "there is no method of training '%s'; there "
                 "are" HB_TRAIN_METHOD_LIST(HB_TRAIN_METHOD_WORD),
                 name);
#undef HB_TRAIN_METHOD_WORD
}

static void set_if_zero(double *field, double value) {
  if (*field == 0) *field = value;
}

static void fill_in(hb_train_options *o, hb_train_method method) {
  bool layers = hb_train_by_layers(method), signs = method == HB_TRAIN_AUTOROUND;
  if (!o->schedule) o->schedule = signs ? "linear" : "cosine";
  if (!o->adapter_type) o->adapter_type = "f32";
  if (o->sequences == 0) o->sequences = 8;
  if (o->accumulate == 0) o->accumulate = 1;
  set_if_zero(&o->rate, signs ? 5e-3 : layers ? 2e-3 : 1e-4);
  set_if_zero(&o->scale_rate, signs ? o->rate / 5 : o->rate);
  set_if_zero(&o->beta1, 0.9);
  set_if_zero(&o->beta2, 0.95);
  set_if_zero(&o->epsilon, 1e-8);
  set_if_zero(&o->damping, layers && !signs ? 10 : 0);
  set_if_zero(&o->clip, layers ? -1 : 1);
  set_if_zero(&o->temperature, 1);
  if (o->rank == 0) o->rank = 8;
  set_if_zero(&o->alpha, 2 * (double)o->rank);
}

/* Whether a number lies in 0 .. most; NaN does not. */
static bool within(double x, double most) {
  return x >= 0 && x <= most;
}

static hb_status check_numbers(const hb_train_options *o, hb_error *error) {
  const struct {
    double value, most;
    const char *name;
  } numbers[] = {{o->rate, 1, "rate"},
                 {o->rate_end, 1, "part of the rate in the end"},
                 {o->warmup, 1, "part of the steps for warming up"},
                 {o->scale_rate, 1, "rate of scales"},
                 {o->beta1, 0.99999, "beta1"},
                 {o->beta2, 0.99999, "beta2"},
                 {o->epsilon, 1, "epsilon"},
                 {o->decay, 10, "decay"},
                 {o->damping < 0 ? 0 : o->damping, 1e4, "damping"},
                 {o->teacher, 1, "teacher's part of the loss"},
                 {o->temperature, 100, "temperature"},
                 {o->z, 1, "weight of z"},
                 {o->alpha, 1e6, "alpha"}};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (!within(numbers[i].value, numbers[i].most))
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "the %s of training is not in its range",
                     numbers[i].name);
  if (o->clip != o->clip) return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "clip is no number");
  if (o->steps == 0 || o->steps > UINT32_MAX || o->accumulate > 1u << 20)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "%u steps of %u batches: there must be 1 to 2^32 and 2^20", o->steps,
                   (uint64_t)o->accumulate);
  return HB_OK;
}

static hb_status find_schedule(const hb_train_options *o, hb_schedule *out, hb_error *error) {
  static const char *const names[] = {
      [HB_SCHEDULE_CONSTANT] = "constant",
      [HB_SCHEDULE_LINEAR] = "linear",
      [HB_SCHEDULE_COSINE] = "cosine",
  };
  size_t kind = 0, count = sizeof names / sizeof *names;
  while (kind < count && strcmp(names[kind], o->schedule) != 0) kind++;
  if (kind == count)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "there is no schedule '%s': constant, linear or cosine", o->schedule);
  *out = (hb_schedule){.kind = (hb_schedule_kind)kind,
                       .rate = (float)o->rate,
                       .last = (float)o->rate_end,
                       .warmup = (uint64_t)(o->warmup * (double)o->steps),
                       .steps = o->steps};
  return hb_schedule_check(out, error);
}

static hb_status check_adapter(hb_trainer *t, const hb_train_options *given, hb_error *error) {
  const char *name = t->o.adapter_type;
  hb_type *type = &t->adapter_type;
  if (hb_type_from_name(hb_string_of(name), type) != HB_OK ||
      (*type != HB_TYPE_F32 && *type != HB_TYPE_F16 && *type != HB_TYPE_BF16))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "an adapter cannot have the type '%s': f32, f16 or bf16", name);
  if (t->o.rank > HB_MAX_RANK)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "a rank of %u: it can be 1 to %u",
                   (uint64_t)t->o.rank, (uint64_t)HB_MAX_RANK);
  if (given->adapter && (given->rank != 0 || given->alpha != 0 || given->matrices))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "an adapter to begin with has a rank, an alpha and matrices of its own");
  return HB_OK;
}

/* What is about training through rounding. */
static hb_status check_rounding(const hb_trainer *t, const hb_train_options *given,
                                hb_error *error) {
  bool scales = t->method == HB_TRAIN_E2E_QP;
  bool rounded = t->method == HB_TRAIN_QAT || hb_train_by_layers(t->method);
  const char *useless = NULL;
  if (given->tables && !scales) useless = "tables";
  if (given->damping != 0 && !rounded && !given->tables) useless = "damping";
  if (!useless) return HB_OK;
  return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "%s has no meaning in training by %s", useless,
                 t->o.method);
}

static hb_status check_teacher(const hb_train_options *o, hb_error *error) {
  const char *wrong = NULL;
  if (o->teacher > 0 && !o->original && !o->teacher_model)
    wrong = "to learn from a teacher takes the original model, or another one";
  if (o->teacher == 0 && o->teacher_model) wrong = "a teacher has to have a part of the loss";
  if (o->teacher == 0 && o->joint) wrong = "to train jointly takes a teacher";
  return wrong ? hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "%s", wrong) : HB_OK;
}

hb_status hb_train_check(hb_trainer *t, const hb_train_options *options, hb_error *error) {
  hb_train_options *o = &t->o;
  *o = *options;
  o->allocator = t->allocator;
  if (!o->method) o->method = "full";
  HB_TRY(find_method(o->method, &t->method, error));
  HB_TRY(hb_blocks_check(t, error));
  fill_in(o, t->method);
  HB_TRY(check_numbers(o, error));
  HB_TRY(check_adapter(t, options, error));
  HB_TRY(hb_check_parallel(o->parallel, error));
  HB_TRY(find_schedule(o, &t->schedule, error));
  HB_TRY(check_rounding(t, options, error));
  return check_teacher(o, error);
}
