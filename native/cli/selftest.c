#include "commands.h"
#include "common.h"

#include <stdio.h>

static int test_isa(hb_isa isa) {
  hb_error error;
  bool passed = hb_selftest(isa, NULL, &error) == HB_OK;
  printf("%-8s %s%s\n", hb_isa_name(isa), passed ? "ok" : "FAILED: ", passed ? "" : error.message);
  return passed ? CLI_OK : CLI_FAILED;
}

static int selftest(const cli_options *options) {
  if (cli_given(options, OPTION_ISA)) {
    if (hb_isa_available(options->isa)) return test_isa(options->isa);
    return cli_fail("this machine or build has no %s", hb_isa_name(options->isa));
  }
  static const hb_isa every_isa[] = {
#define ISA_VALUE(name, number, text) HB_ISA_##name,
      HB_ISA_LIST(ISA_VALUE)
#undef ISA_VALUE
  };
  int code = CLI_OK;
  for (size_t i = 0; i < sizeof every_isa / sizeof every_isa[0]; i++)
    if (hb_isa_available(every_isa[i]) && test_isa(every_isa[i]) != CLI_OK) code = CLI_FAILED;
  return code;
}

const cli_command command_selftest = {
    .name = "selftest",
    .operands = "",
    .summary = "Checks that this machine computes every kernel right",
    .takes = CLI_OPTIONS(OPTION_ISA),
    .run = selftest,
};
