// Writes unicode_table.c: what pre-tokenizers must know of every code point, as runs of equal classes.
// The data are those of the Node that runs this (process.versions.unicode):
//   node src/token/generate_unicode.js > src/token/unicode_table.c
const classes = [/\p{L}/u, /\p{N}/u, /\p{P}/u, /\p{White_Space}/u, /[\p{Lu}\p{Lt}]/u, /\p{Ll}/u, /\p{M}/u, /\p{S}/u];
const last = 0x10ffff;
const upper = 1 | 16;
const lower = 1 | 32;

function classOf(codePoint) {
  const character = String.fromCodePoint(codePoint);
  return classes.reduce((bits, pattern, i) => bits | (pattern.test(character) << i), 0);
}

const classesOfAll = Array.from({ length: last + 1 }, (_, codePoint) => classOf(codePoint));

/** How many code points from `first` on are of the one class. */
function equal(first) {
  let end = first;
  while (end <= last && classesOfAll[end] === classesOfAll[first]) end++;
  return end - first;
}

/** How many from `first` on are upper and lower case by turns. */
function alternating(first) {
  let end = first;
  while (end <= last && classesOfAll[end] === ((end - first) % 2 ? lower : upper)) end++;
  return end - first;
}

const runs = [];
for (let first = 0; first <= last;) {
  const byTurns = alternating(first);
  const bits = byTurns > 2 ? upper | lower : classesOfAll[first];
  runs.push(((first << 8) | bits) >>> 0);
  first += byTurns > 2 ? byTurns : equal(first);
}

const rows = [];
for (let i = 0; i < runs.length; i += 8) {
  const row = runs.slice(i, i + 8).map((run) => `0x${run.toString(16)}`);
  rows.push(`    ${row.join(', ')},`);
}
console.log(`/* Unicode ${process.versions.unicode}; made by generate_unicode.js, do not edit. */
/* clang-format off */
#include "token/unicode.h"

const uint32_t hb_unicode_runs[] = {
${rows.join('\n')}
};

const uint32_t hb_unicode_run_count = sizeof hb_unicode_runs / sizeof *hb_unicode_runs;`);
