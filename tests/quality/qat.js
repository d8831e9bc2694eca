#!/usr/bin/env node
// Trains a model with its quantization in the loop, at several widths, and measures what that wins
// back of what quantizing cost:
//
//   npm run bench:qat -- [options]
//
//   --only NAME,..      only these rows, such as q2_k-qat, or all of a type, such as q2_k; the rows
//                       that they begin with are made, too
//   --steps N           steps of each training (default: the lists below)
//   --chunks N          measure on so many chunks of 256 tokens (default: all)
//   -m FILE             the model (default: tales-5.8m in F32, of the shared test data)
//   --data TEXT         what is learned (what it was trained on)
//   -f TEXT             the text that is scored (its held-out one)
//   --calibration TEXT  what post-training methods calibrate with; --samples N: pieces of it that
//                       are used (default: quantize's)
//   -t N                threads (default: one a processor)
//   --f32               products in F32 instead of bf16: slower, but the same bits on every machine
//   --resume            take the rows, and go on with the runs, that earlier calls with the same
//                       options left
//   --out DIR           where models, runs, qat.json and qat.md go (default build/qat)
//
// A type is first quantized by every post-training method below. The best of these is what training
// begins with, and what its excess is compared with: ln(perplexity / that of the original). The
// table is printed as Markdown. A row that this build cannot make is listed with the reason; if any
// failed, the command ends with 1.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { markdownTable } from '../peers/table.js';

const root = resolve(import.meta.dirname, '../..');
const program = process.env.HB_CLI ?? join(root, 'build/native/halfbyte');
const shared = resolve(root, process.env.HB_SHARED ?? '../shared');
const inShared = (/** @type {string} */ name) => join(shared, name);

/** The part of the steps below that a type takes: at 4 bits there is little to win back. */
const PARTS = { q2_k: 1, int2_64: 1, q3_k: 1, q4_0: 0.5 };
/** @typedef {keyof typeof PARTS} Type */
const TYPES = /** @type {Type[]} */ (Object.keys(PARTS));
const POST_TRAINING = ['gptq', 'awq+gptq'];

/**
 * One training after the other, each beginning with what the one before left. Steps are of 16 x 256
 * tokens, unless `options` say otherwise. Those of one layer are cheap. E2E-QP gains with the way that
 * its weights go, the rate times the steps: after 3600 steps of Block-AP 250 of 2.5e-4 left 0.74 of
 * Q3_K's excess, 1400 of 1.5e-4 0.51; after 4800, 1200 of 3e-4 left 0.41.
 * @type {Record<string, { label: string, stages: { method: string, steps: number, options: string[] }[] }>}
 */
const TRAINING = {
  qat: {
    label: 'QAT + KD',
    stages: [
      {
        method: 'qat',
        steps: 1500,
        options: '--teacher 0.7 --rate 2.5e-4 --scale-rate 5e-4 --warmup 0.05'.split(' '),
      },
    ],
  },
  'block-ap': {
    label: 'Block-AP, E2E-QP',
    stages: [
      {
        method: 'block-ap',
        steps: 4800,
        options: '--samples 4096 --rate 1e-3 --scale-rate 5e-4'.split(' '),
      },
      {
        method: 'e2e-qp',
        steps: 1200,
        options: '--tables --teacher 0.5 --rate 3e-4 --scale-rate 1e-3 --warmup 0.05'.split(' '),
      },
    ],
  },
};

/**
 * A row of the table. `told` is what `halfbyte compare --json` printed.
 * @typedef {{ name: string, type: Type, label: string, file: string, seconds?: number, tokens?: number, told?: any,
 *   error?: string, best?: Row }} Row
 */

/** @param {string[]} args */
function readOptions(args) {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string' },
      steps: { type: 'string' },
      chunks: { type: 'string' },
      model: {
        type: 'string',
        short: 'm',
        default: inShared('models/tales-5.8m/tales-5.8m-f32.gguf'),
      },
      data: { type: 'string', default: inShared('text/tales-train.txt') },
      file: { type: 'string', short: 'f', default: inShared('text/tales-val.txt') },
      calibration: { type: 'string', default: inShared('text/tales-calibration.txt') },
      samples: { type: 'string' },
      threads: { type: 'string', short: 't' },
      f32: { type: 'boolean', default: false },
      resume: { type: 'boolean', default: false },
      out: { type: 'string', default: join(root, 'build/qat') },
    },
  });
  const names = TYPES.flatMap((type) => [
    type,
    ...[...POST_TRAINING, ...Object.keys(TRAINING)].map((each) => `${type}-${each}`),
  ]);
  const only = values.only?.split(',') ?? TYPES;
  for (const name of only)
    if (!names.includes(name))
      throw new Error(
        `there is no row ${name}; types are ${TYPES.join(', ')}, rows of one ${names.slice(1, 1 + POST_TRAINING.length + Object.keys(TRAINING).length).join(', ')}`,
      );
  return { ...values, only };
}
/** @typedef {ReturnType<typeof readOptions>} Options */

/** @param {string} stderr */
const reason = (stderr) =>
  stderr
    .trim()
    .split('\n')[0]
    .replace(/^halfbyte: /, '');

/** @param {Options} options */
const threads = (options) => (options.threads ? ['-t', options.threads] : []);

/** @param {string[]} args */
function halfbyte(args) {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (error) throw error;
  return status === 0 ? { out: stdout } : { out: stdout, error: reason(stderr) };
}

/** As halfbyte, with what it prints passed on, which takes long. @param {string[]} args */
async function follow(args) {
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'pipe'] });
  let err = '';
  child.stderr.on('data', (piece) => (err += piece));
  const code = await new Promise((done) => child.once('close', done));
  return code === 0 ? {} : { error: reason(err) || `it ended with ${code}` };
}

/** @param {Row} row @param {Options} options @returns {Row} */
function measure(row, options) {
  const { model, file: text, chunks } = options;
  const args = ['compare', model, row.file, '-f', text, '-c', '256', ...threads(options), '--json'];
  const { out, error } = halfbyte(chunks ? [...args, '--chunks', chunks] : args);
  return error ? { ...row, error } : { ...row, told: JSON.parse(out) };
}

/**
 * A row that an earlier call made in the same way, or `make` makes now. What is done is kept, whatever
 * becomes of the rest.
 * @param {string} name @param {Options} options @param {unknown} recipe that and the options tell how
 * @param {() => Row | Promise<Row>} make @returns {Promise<Row>}
 */
async function rowOf(name, { resume, out, ...options }, recipe, make) {
  const file = join(out, `${name}.json`);
  const { model, data, calibration, samples, file: text, chunks, f32 } = options;
  const how = [recipe, model, data, calibration, samples, text, chunks, f32];
  const settings = JSON.stringify(how);
  if (resume && existsSync(file)) {
    const kept = JSON.parse(readFileSync(file, 'utf8'));
    if (kept.settings === settings) return kept.row;
  }
  const row = await make();
  if (!row.error) writeFileSync(file, JSON.stringify({ settings, row }, null, 1));
  return row;
}

/** @param {Type} type @param {string} method @param {Options} options @returns {Row} */
function quantize(type, method, options) {
  const name = `${type}-${method}`;
  const file = join(options.out, `${name}.gguf`);
  const row = { name, type, label: method.toUpperCase().replace('+', ' + '), file };
  console.error(name);
  const args = [
    'quantize',
    options.model,
    file,
    '--type',
    type,
    '--method',
    method,
    '--calibration',
    options.calibration,
  ];
  if (options.samples) args.push('--calibration-samples', options.samples);
  const start = performance.now();
  const { error } = halfbyte([...args, ...threads(options)]);
  return error
    ? { ...row, error }
    : measure({ ...row, seconds: (performance.now() - start) / 1000 }, options);
}

/** Seconds and tokens of a run. @param {string} folder */
function readLog(folder) {
  const lines = readFileSync(join(folder, 'log.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const { seconds, tokens } = lines.filter((line) => line.loss !== undefined).at(-1);
  return { seconds, tokens };
}

/** The stages of a training of a type. @param {string} kind @param {Type} type @param {Options} options */
const stagesOf = (kind, type, options) =>
  TRAINING[kind].stages.map(({ method, steps, options: own }) => ({
    method,
    steps: options.steps ?? String(steps * PARTS[type]),
    options: own,
  }));

/** @param {string} kind @param {Row} best @param {Options} options @returns {Promise<Row>} */
async function train(kind, best, options) {
  const { type } = best;
  const { label } = TRAINING[kind];
  const row = {
    name: `${type}-${kind}`,
    type,
    label,
    file: best.file,
    best,
    seconds: 0,
    tokens: 0,
  };
  for (const [i, stage] of stagesOf(kind, type, options).entries()) {
    console.error(`${row.name}: ${stage.method}`);
    const folder = join(options.out, `${row.name}-${i + 1}`);
    if (!options.resume) rmSync(folder, { recursive: true, force: true });
    const { error } = await follow([
      ...[
        'finetune',
        row.file,
        '--method',
        stage.method,
        '--original',
        options.model,
        '--data',
        options.data,
      ],
      ...['--steps', stage.steps, '--sequences', '16', '--length', '256', '--out', folder],
      ...[
        ...stage.options,
        ...threads(options),
        ...(options.f32 ? [] : ['--bf16']),
        ...(options.resume ? ['--resume'] : []),
      ],
    ]);
    if (error) return { ...row, error };
    const { seconds, tokens } = readLog(folder);
    row.seconds += seconds;
    row.tokens += tokens;
    row.file = join(folder, 'model.gguf');
  }
  return measure(row, options);
}

/** All rows of a type that are wanted. @param {Type} type @param {Options} options */
async function rowsOf(type, options) {
  const wanted = (/** @type {string} */ kind) =>
    options.only.includes(type) || options.only.includes(`${type}-${kind}`);
  const training = Object.keys(TRAINING).filter(wanted);
  /** @type {Row[]} */
  const rows = [];
  for (const method of POST_TRAINING)
    if (training.length || wanted(method))
      rows.push(
        await rowOf(`${type}-${method}`, options, method, () => quantize(type, method, options)),
      );
  const [best] = rows
    .filter(({ told }) => told)
    .sort((a, b) => a.told.logRatio.value - b.told.logRatio.value);
  for (const kind of best ? training : [])
    rows.push(
      await rowOf(`${type}-${kind}`, options, [best.name, stagesOf(kind, type, options)], () =>
        train(kind, best, options),
      ),
    );
  return rows;
}

/** @param {number} seconds */
const time = (seconds) =>
  seconds < 60 ? `${seconds.toFixed(0)} s` : `${(seconds / 60).toFixed(1)} min`;

/** @param {Row} row */
function cells({ type, label, seconds, tokens, told, best }) {
  const { model, logRatio } = told;
  return [
    type.toUpperCase(),
    best ? label : `${label}, post-training`,
    model.bitsPerWeight.toFixed(3),
    (model.fileBytes / 1e6).toFixed(2),
    model.perplexity.value.toFixed(4),
    `${logRatio.value.toFixed(4)} ± ${logRatio.error.toFixed(4)}`,
    best ? `${((100 * logRatio.value) / best.told.logRatio.value).toFixed(0)} %` : '',
    seconds === undefined ? '' : time(seconds),
    tokens ? `${(tokens / 1e6).toFixed(2)} M` : '',
  ];
}

/** @param {readonly Row[]} rows @param {Options} options */
function page(rows, { model, file, f32 }) {
  const done = rows.filter(({ told }) => told);
  const lines = [`# What training through the quantizer won back of ${basename(model)}`, ''];
  if (done.length) {
    const { reference, tokens, chunks, context, cpu, engine, commit, threads } = done[0].told;
    const head = [
      'type',
      'method',
      'bits/weight',
      'MB',
      'PPL',
      'excess ln(PPL)',
      'of the best post-training',
      'time',
      'tokens seen',
    ];
    const whole = [
      'F32',
      '',
      reference.bitsPerWeight.toFixed(3),
      (reference.fileBytes / 1e6).toFixed(2),
      reference.perplexity.value.toFixed(4),
      '',
      '',
      '',
      '',
    ];
    lines.push(
      `${basename(file)}: ${tokens} tokens scored in ${chunks} chunks of ${context}; ± is one standard error.`,
      `${cpu}, ${threads} threads, ${engine}, commit ${commit}; products of training in ${f32 ? 'F32' : 'bf16'}.`,
      '',
      markdownTable(head, [whole, ...done.map(cells)]),
      '',
    );
  }
  for (const { name, error } of rows) if (error) lines.push(`- ${name} failed: ${error}`);
  return `${lines.join('\n').trimEnd()}\n`;
}

async function main() {
  const options = readOptions(process.argv.slice(2));
  for (const file of [options.model, options.data, options.file, options.calibration])
    if (!existsSync(file)) throw new Error(`there is no ${file}`);
  mkdirSync(options.out, { recursive: true });
  /** @type {Row[]} */
  const rows = [];
  for (const type of TYPES) {
    rows.push(...(await rowsOf(type, options)));
    writeFileSync(join(options.out, 'qat.json'), JSON.stringify(rows, null, 1));
    writeFileSync(join(options.out, 'qat.md'), page(rows, options));
  }
  console.log(page(rows, options));
  return rows.some(({ error }) => error) ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
