#include "commands.h"
#include "quality/prospects.h"
#include "report/json.h"

#include <inttypes.h>
#include <stdio.h>

static void print_table(const prospects *p, const cli_options *options, int best) {
  char file[24], memory[24];
  bool measured = false;
  for (int i = 0; i < PROSPECTS; i++) measured |= p->at[i].measured;
  printf("%-8s %6s %10s %10s %9s%s\n", "type", "bits", "file", "memory", "tokens/s",
         measured ? "   ln(PPL ratio)" : "");
  for (int i = 0; i < PROSPECTS; i++) {
    const prospect *one = &p->at[i];
    printf("%-8s %6.3f %10s %10s %9.*f", one->type, one->bits_per_weight,
           cli_size(one->file_bytes, file), cli_size(one->memory_bytes, memory),
           one->speed < 100 ? 1 : 0, one->speed);
    if (measured && one->measured) printf("%16.4f", one->excess);
    if (measured && !one->measured) printf("%16s", "");
    printf("%s%s%s\n", one->memory_bytes > options->memory ? "  too large" : "",
           one->speed < options->speed ? "  too slow" : "", i == best ? "  <- take this" : "");
  }
  printf("memory with a context of %" PRIu32 "; speeds with %" PRIu32 " threads, expected\n",
         p->context, p->threads);
}

static int print_json(const prospects *p, int best) {
  json_text j = {0};
  json_open(&j, '{');
  json_key(&j, "best");
  if (best >= 0)
    json_string(&j, hb_string_of(p->at[best].type));
  else
    json_null(&j);
  json_member_count(&j, "context", p->context);
  json_member_count(&j, "threads", p->threads);
  json_key(&j, "types");
  json_open(&j, '[');
  for (int i = 0; i < PROSPECTS; i++) {
    json_open(&j, '{');
    json_member_string(&j, "type", p->at[i].type);
    json_member_number(&j, "bitsPerWeight", p->at[i].bits_per_weight);
    json_member_count(&j, "fileBytes", p->at[i].file_bytes);
    json_member_count(&j, "memoryBytes", p->at[i].memory_bytes);
    json_member_number(&j, "tokensPerSecond", p->at[i].speed);
    if (p->at[i].measured) json_member_number(&j, "excess", p->at[i].excess);
    json_end(&j, '}');
  }
  json_end(&j, ']');
  json_end(&j, '}');
  int code = j.failed ? cli_fail("no memory") : CLI_OK;
  if (!j.failed) printf("%s\n", j.data);
  json_close(&j);
  return code;
}

/* Nothing fits: the least that would. */
static int say_why(const prospects *p, const cli_options *options) {
  char least_size[24], memory[24];
  uint64_t least = UINT64_MAX;
  double most = 0;
  for (int i = 0; i < PROSPECTS; i++) {
    if (p->at[i].memory_bytes < least) least = p->at[i].memory_bytes;
    if (p->at[i].speed > most) most = p->at[i].speed;
  }
  return cli_fail(
      "no type fits into %s and reaches %.3g tokens/s: this model takes at least %s and "
      "reaches at most about %.3g; take a smaller one",
      cli_size(options->memory, memory), (double)options->speed, cli_size(least, least_size), most);
}

static int advise_model(const hb_model *model, const cli_options *options) {
  prospects p;
  if (!prospects_find(model, options, options->report, &p)) return CLI_FAILED;
  int best = prospects_choose(&p, options->memory, options->speed);
  if (options->json) return print_json(&p, best);
  print_table(&p, options, best);
  return best < 0 ? say_why(&p, options) : CLI_OK;
}

static int advise(const cli_options *options) {
  hb_load_options load = {.isa = options->isa, .header_only = 1};
  hb_model *model;
  hb_error error;
  if (!hb_isa_available(options->isa))
    return cli_fail("this machine or build has no %s", hb_isa_name(options->isa));
  if (hb_load_file(options->operands[0], &load, NULL, &model, &error) != HB_OK)
    return cli_fail_error(&error);
  int code = advise_model(model, options);
  hb_model_destroy(model);
  return code;
}

const cli_command command_advise = {
    .name = "advise",
    .operands = "MODEL",
    .summary = "Tells which type of a model suits this machine",
    .details =
        "Kernels are measured for a moment. Types are told from the best to the worst, as it is\n"
        "known of many models; with a report of compare, also what was measured of this one.",
    .takes = CLI_OPTIONS(OPTION_MEMORY, OPTION_SPEED, OPTION_RATED, OPTION_CONTEXT, OPTION_THREADS,
                         OPTION_ISA, OPTION_KV, OPTION_JSON),
    .needs = CLI_OPTIONS(OPTION_MEMORY),
    .least_operands = 1,
    .most_operands = 1,
    .run = advise,
};
