// Writes web/generated.js, the constants and error classes of src/halfbyte.h in JavaScript.
//   node wasm/generate-tables.js           writes the file
//   node wasm/generate-tables.js --check   fails if the file is not what would be written
import { readFileSync, writeFileSync } from 'node:fs';

const header = readFileSync(new URL('../src/halfbyte.h', import.meta.url), 'utf8');
const joined = header.replace(/\\\n/g, ''); // lines that go on
const target = new URL('../web/generated.js', import.meta.url);

/** The rows of an X-macro list, each an array of its arguments without quotes. */
function rows(list) {
  const start = header.indexOf(`#define ${list}(X)`);
  if (start < 0) throw new Error(`${list} not found`);
  const lines = [];
  for (const line of header.slice(start).split('\n').slice(1)) {
    const row = /^ *X\((.*?)\)\s*(?:\/\*.*?\*\/)?\s*\\?$/.exec(line.trimEnd());
    if (!row) break;
    lines.push([...row[1].matchAll(/"([^"]*)"|([^\s,]+)/g)].map((part) => part[1] ?? part[2]));
    if (!line.trimEnd().endsWith('\\')) break;
  }
  if (lines.length === 0) throw new Error(`${list} is empty`);
  return lines;
}

/** { NAME: number } of an enum whose members all have the prefix and a value. */
function members(prefix) {
  const found = [...header.matchAll(new RegExp(`\\b${prefix}([A-Z0-9]+) = (\\d+)`, 'g'))];
  if (found.length === 0) throw new Error(`${prefix} not found`);
  return found.map(([, name, number]) => [name, number]);
}

/** The number of a #define. */
function define(name) {
  const found = new RegExp(`#define ${name}\\s+\\(?(-?\\d+)u?\\)?\\s`).exec(joined);
  if (!found) throw new Error(`${name} not found`);
  return found[1];
}

function object(name, comment, pairs) {
  const body = pairs.map(([key, value]) => `  ${key}: ${value},`).join('\n');
  return `/** ${comment} */\nexport const ${name} = /** @type {const} */ ({\n${body}\n});\n`;
}

const failures = rows('HB_STATUS_LIST').filter(([name]) => name !== 'OK');
const classes = failures.map(
  ([name, , js, text]) =>
    `/** ${text[0].toUpperCase()}${text.slice(1)}. */\n` +
    `export class ${js} extends ${name === 'MEMORY' ? 'ShortageError' : 'HalfbyteError'} {\n  static code = '${name}';\n  static label = '${js}';\n}\n`,
);

const output = `// Generated from src/halfbyte.h by wasm/generate-tables.js; not to be edited.
import { HalfbyteError, ShortageError } from './error.js';

${classes.join('\n')}
/** The class of each status that is a failure. */
export const STATUS_CLASSES = {
${failures.map(([, number, js]) => `  ${number}: ${js},`).join('\n')}
};

${object(
  'ISA',
  'hb_isa',
  rows('HB_ISA_LIST').map(([, number, text]) => [text, number]),
)}
${object(
  'VALUE',
  'hb_value_type',
  rows('HB_VALUE_LIST').map(([name, number]) => [name, number]),
)}
${object(
  'KV',
  'hb_kv_type',
  members('HB_KV_(?=F)').map(([name, number]) => [name.toLowerCase(), number]),
)}
${object('FINISH', 'hb_finish', members('HB_FINISH_'))}
${object(
  'TYPE',
  'hb_type, without those that are only recognized',
  rows('HB_TYPE_LIST')
    .filter(([, , , , supported]) => supported === '1')
    .concat(rows('HB_PRIVATE_TYPE_LIST'))
    .map(([name, number]) => [name, number]),
)}
${object(
  'PROBE',
  'hb_probe_kind',
  rows('HB_PROBE_LIST').map(([, number, text]) => [text, number]),
)}
${[
  'HB_MAX_THREADS',
  'HB_DEFAULT_CONTEXT',
  'HB_NO_TOKEN',
  'HB_TOKENIZE_BOS',
  'HB_TOKENIZE_SPECIAL',
  'HB_DETOKENIZE_SPECIAL',
]
  .map((name) => `export const ${name.slice(3)} = ${define(name)};`)
  .join('\n')}
`;

if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') !== output) {
    console.error('web/generated.js is out of date: run node wasm/generate-tables.js');
    process.exit(1);
  }
} else {
  writeFileSync(target, output);
}
