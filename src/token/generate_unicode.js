// Writes unicode_table.c: what pre-tokenizers must know of every code point, as runs of equal classes.
// The data are those of the Node that runs this (process.versions.unicode):
//   node src/token/generate_unicode.js > src/token/unicode_table.c
const classes = [
  ['HB_UNICODE_LETTER', /\p{L}/u],
  ['HB_UNICODE_NUMBER', /\p{N}/u],
  ['HB_UNICODE_PUNCTUATION', /\p{P}/u],
  ['HB_UNICODE_SPACE', /\p{White_Space}/u],
];
const last = 0x10ffff;

function classOf(codePoint) {
  const character = String.fromCodePoint(codePoint);
  return classes.reduce((bits, [, pattern], i) => bits | (pattern.test(character) << i), 0);
}

const runs = [];
for (let c = 0, before = -1; c <= last; c++) {
  const bits = classOf(c);
  if (bits !== before) runs.push(((c << 4) | bits) >>> 0);
  before = bits;
}

const rows = [];
for (let i = 0; i < runs.length; i += 8) {
  const row = runs.slice(i, i + 8).map((run) => `0x${run.toString(16)}`);
  rows.push(`    ${row.join(', ')},`);
}
console.log(`/* Unicode ${process.versions.unicode}; made by generate_unicode.js, do not edit. */
/* clang-format off */
#include "token/unicode.h"

/* Runs of code points of one class, each first code point << 4 | class. */
const uint32_t hb_unicode_runs[] = {
${rows.join('\n')}
};

const uint32_t hb_unicode_run_count = sizeof hb_unicode_runs / sizeof *hb_unicode_runs;`);
