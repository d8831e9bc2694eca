#!/usr/bin/env node
// Quantizes a model by every method and measures what each cost:
//
//   npm run bench:quality -- [options]
//
//   -m FILE             the model (default: tales-5.8m in F32, of the shared test data)
//   -f TEXT             the text that is scored (its held-out one)
//   --calibration TEXT  what methods calibrate with (a part of what it was trained on)
//   --samples N         pieces of it that are used (default: quantize's)
//   -c N                tokens of a chunk (256); --chunks N: only so many (default all)
//   --runs METHOD:TYPE,..  only these (default: the list below)
//   -t N                threads (2)
//   --peer DIR          files that another program made of the model, measured too (ggml's of it)
//   --out DIR           where models, quality.json, quality.md and report/ go (default build/quality)
//
// One model after the other is quantized and compared with the original, both reading the text in
// step. The table is printed as Markdown. A method or type that this build does not know is skipped
// and says so; anything else that fails is listed with its error, and the command then ends with 1.
// The whole text takes a minute or two for each run; speeds are right on an idle machine only.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { markdownTable } from '../peers/table.js';

const root = resolve(import.meta.dirname, '../..');
const program = process.env.HB_CLI ?? join(root, 'build/native/halfbyte');
const shared = resolve(root, process.env.HB_SHARED ?? '../shared');

/** A number in place of a type: so many bits a weight, in types by what each matrix can bear. */
const RUNS = {
  rtn: ['q8_0', 'q6_k', 'q5_k', 'q4_1', 'q4_k', 'q4_0', 'iq4_nl', 'iq4_xs', 'mxfp4', 'nf4', 'fp4', 'q3_k', 'q2_k'],
  imatrix: ['q4_k', 'q4_0', 'q3_k'],
  gptq: ['q4_k', 'q4_0', 'iq4_xs', 'nf4', 'q3_k', 'q2_k', '4.5', '3.45'],
  awq: ['q4_k', 'q4_0', 'q3_k'],
  'awq+gptq': ['q4_k', 'q4_0', 'q3_k'],
  hqq: ['q4_1'],
  spqr: ['q4_k', 'q4_0', 'q3_k'],
  squeezellm: ['table4', 'table3'],
  channel: ['q8_0'],
  smoothquant: ['q8_0'],
  'llm.int8': ['q8_0'],
  zeroquant: ['q8_0'],
};
const CALIBRATION_FREE = ['rtn', 'hqq', 'channel'];

/** @typedef {{ name: string, method: string, type: string }} Run */
/** @typedef {{ value: number, error: number }} Estimate */
/**
 * What is known of a run: `told` is what `halfbyte compare --json` printed.
 * @typedef {Run & { skipped?: string, error?: string, seconds?: number, told?: any }} Result
 */

/** @param {string[]} args */
function readOptions(args) {
  const { values } = parseArgs({
    args,
    options: {
      model: { type: 'string', short: 'm', default: join(shared, 'models/tales-5.8m/tales-5.8m-f32.gguf') },
      file: { type: 'string', short: 'f', default: join(shared, 'text/tales-val.txt') },
      calibration: { type: 'string', default: join(shared, 'text/tales-calibration.txt') },
      samples: { type: 'string' },
      context: { type: 'string', short: 'c', default: '256' },
      chunks: { type: 'string' },
      threads: { type: 'string', short: 't', default: '2' },
      runs: { type: 'string' },
      peer: { type: 'string' },
      out: { type: 'string', default: join(root, 'build/quality') },
    },
  });
  const usesDefault = !args.some((arg) => arg === '-m' || arg.startsWith('--model'));
  const peer = values.peer ?? (usesDefault && !values.runs ? join(shared, 'models/tales-5.8m/ggml') : undefined);
  const listed = values.runs?.split(',') ??
    Object.entries(RUNS).flatMap(([method, types]) => types.map((type) => `${method}:${type}`));
  const runs = listed.map((each) => {
    const [method, type, ...rest] = each.split(':');
    if (!method || !type || rest.length) throw new Error(`--runs takes METHOD:TYPE,.. and not ${each}`);
    return { name: `${type}-${method}`, method, type };
  });
  return { ...values, peer, runs };
}

/** @param {string[]} args */
function halfbyte(args) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (error) throw error;
  return { code: status, out: stdout, reason: stderr.trim().split('\n')[0].replace(/^halfbyte: /, '') };
}

/** @param {string} file @param {ReturnType<typeof readOptions>} options */
function compare(file, { model, file: text, context, chunks, threads, out }) {
  const args = ['compare', model, file, '-f', text, '-c', context, '-t', threads, '--report', join(out, 'report'), '--json'];
  const { code, out: told, reason } = halfbyte(chunks ? [...args, '--chunks', chunks] : args);
  return code === 0 ? { told: JSON.parse(told) } : { error: reason };
}

/**
 * @param {Run} run
 * @param {ReturnType<typeof readOptions>} options
 * @returns {Result}
 */
function measure(run, options) {
  const { name, method, type } = run;
  const file = join(options.out, 'models', `${name}.gguf`);
  const kind = Number(type) > 0 ? ['--bits-per-weight', type] : ['--type', type];
  const args = ['quantize', options.model, file, ...kind, '--method', method, '-t', options.threads];
  if (!CALIBRATION_FREE.includes(method) || Number(type) > 0) {
    args.push('--calibration', options.calibration);
    if (options.samples) args.push('--calibration-samples', options.samples);
  }
  const start = performance.now();
  const { code, reason } = halfbyte(args);
  const seconds = (performance.now() - start) / 1000;
  if (code === 2 || /^unknown method/.test(reason)) return { ...run, skipped: reason };
  if (code !== 0) return { ...run, error: reason };
  return { ...run, seconds, ...compare(file, options) };
}

/** Files of another program. @param {ReturnType<typeof readOptions>} options @returns {Result[]} */
function measurePeer(options) {
  if (!options.peer || !existsSync(options.peer)) return [];
  return readdirSync(options.peer).filter((name) => name.endsWith('.gguf')).sort().map((file) => {
    const name = basename(file, '.gguf');
    const run = { name: `${basename(/** @type {string} */ (options.peer))}-${name}`, method: basename(/** @type {string} */ (options.peer)), type: name };
    console.error(run.name);
    return { ...run, ...compare(join(/** @type {string} */ (options.peer), file), options) };
  });
}

/** @param {Estimate} estimate @param {number} digits */
const plusMinus = ({ value, error }, digits) => `${value.toFixed(digits)} ± ${error.toFixed(digits)}`;

/** @param {Result} result */
function row({ method, type, seconds, told }) {
  const { model, logRatio, meanKl, sameTop } = told;
  return [
    method,
    Number(type) > 0 ? `mixed, ${type} bits` : type.toUpperCase().replace('-IMATRIX', ', imatrix'),
    model.bitsPerWeight.toFixed(3),
    (model.fileBytes / 1e6).toFixed(2),
    model.perplexity.value.toFixed(4),
    plusMinus(logRatio, 4),
    plusMinus(meanKl, 5),
    (100 * sameTop.value).toFixed(2),
    model.decode.toFixed(0),
    seconds === undefined ? '' : seconds.toFixed(1),
  ];
}

/** @param {readonly Result[]} results @param {ReturnType<typeof readOptions>} options */
function page(results, { model, file }) {
  const done = results.filter(({ told }) => told);
  const rest = results.filter(({ told }) => !told);
  const lines = [`# What quantizing ${basename(model)} cost`, ''];
  if (done.length) {
    const { reference, tokens, chunks, context, cpu, engine, commit, threads } = done[0].told;
    const head = ['method', 'type', 'bits/weight', 'MB', 'PPL', 'ln(PPL ratio)', 'KLD', 'same top %', 'tokens/s', 'quantized in s'];
    const whole = ['F32', '', reference.bitsPerWeight.toFixed(3), (reference.fileBytes / 1e6).toFixed(2), reference.perplexity.value.toFixed(4), '', '', '', reference.decode.toFixed(0), ''];
    lines.push(
      `${basename(file)}: ${tokens} tokens scored in ${chunks} chunks of ${context}; ± is one standard error.`,
      `${cpu}, ${threads} threads, ${engine}, commit ${commit}.`, '',
      markdownTable(head, [whole, ...done.map(row)]), '',
    );
  }
  for (const { method, type, skipped, error } of rest)
    lines.push(`- ${method} ${type}: ${skipped ? `skipped, ${skipped}` : `failed: ${error}`}`);
  return `${lines.join('\n').trimEnd()}\n`;
}

function main() {
  const options = readOptions(process.argv.slice(2));
  rmSync(join(options.out, 'report'), { recursive: true, force: true });
  mkdirSync(join(options.out, 'models'), { recursive: true });
  const results = options.runs.map((run) => {
    console.error(run.name);
    return measure(run, options);
  });
  results.push(...measurePeer(options));
  const text = page(results, options);
  writeFileSync(join(options.out, 'quality.json'), JSON.stringify(results, null, 1));
  writeFileSync(join(options.out, 'quality.md'), text);
  console.log(text);
  return results.some(({ error }) => error) ? 1 : 0;
}

try {
  process.exitCode = main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
