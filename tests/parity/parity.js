#!/usr/bin/env node
// The promise of halfbyte, tested: for the same model and tokens the logits have the same bits on
// every target, with any number of threads and however the prompt is split, and what training writes
// has the same on every native one. Runs the default model and every test vector through all of them
// and prints a table: how many runs of a target agree, and the one SHA-256 of the model's logits.
// Any difference fails.
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { makeOwnModels } from './own.js';
import { makeTrainings } from './training.js';

process.chdir(resolve(import.meta.dirname, '../..'));

const splits = ['whole', 'pieces', 'single'];
const native = ['build/native/halfbyte'];
const gcc = ['build/gcc/halfbyte'];
const qemu = ['qemu-aarch64', '-L', '/usr/aarch64-linux-gnu', 'build/aarch64/halfbyte'];
const node = [process.execPath, 'web/cli.js'];

const defaultModel = 'examples/models/tales-5.8m-q4_0.gguf';
const made = 'build/parity';

const everyRun = splits.flatMap((split) => [1, 3].map((threads) => ({ split, threads })));
const fewRuns = [{ split: 'whole', threads: 1 }, { split: 'pieces', threads: 3 }];

/**
 * Where a model runs. The few runs are for targets that differ from another one only in the
 * compiler. Not every CPU has what an optional target needs. Training has bits of its own in
 * WebAssembly, and fused operations in software are slow under an emulator.
 */
const targets = [
  { name: 'scalar', program: native, isa: 'scalar' },
  { name: 'avx2', program: native, isa: 'avx2' },
  { name: 'avx512', program: native, isa: 'avx512', optional: true },
  { name: 'amx', program: native, isa: 'amx', optional: true },
  { name: 'gcc scalar', program: gcc, isa: 'scalar', runs: fewRuns },
  { name: 'gcc avx2', program: gcc, isa: 'avx2', runs: fewRuns },
  { name: 'gcc avx512', program: gcc, isa: 'avx512', optional: true, runs: fewRuns },
  { name: 'arm scalar', program: qemu, isa: 'scalar', runs: fewRuns, trains: false },
  { name: 'neon', program: qemu, isa: 'neon' },
  { name: 'simd128', program: node, isa: 'simd128', trains: false },
  { name: 'relaxed', program: node, isa: 'relaxed', trains: false },
];

// 40 positions, so that attention crosses a block of the cache; ids that all vocabularies have.
const phrase = '1,403,407,261,378,432,429,365,282,300,12,500,33,77,211,309,418,11,64,490';
const tokens = `${phrase},${phrase}`;

/**
 * The models: the default one, those with formats of halfbyte's own, and the vectors of the shared
 * data where there are any.
 */
function findModels() {
  const models = [defaultModel, ...makeOwnModels(made, { program: native[0], defaultModel })];
  const shared = process.env.HB_SHARED || '../shared';
  for (const folder of ['arch', 'quant'].map((name) => join(shared, 'vectors', name))) {
    if (!existsSync(folder)) continue;
    for (const name of readdirSync(folder).sort())
      // IQ3_S is refused by design.
      if (name.endsWith('.gguf') && name !== 'IQ3_S.gguf') models.push(join(folder, name));
  }
  return models;
}

const runFile = promisify(execFile);
const execute = ([program, ...args]) => runFile(program, args.map(String), { timeout: 300_000 });
const runsOf = (target) => target.runs ?? everyRun;

/** A model's logits on a target. */
async function hashLogits({ program, isa }, model, { threads, split }) {
  const flags = ['-m', model, '--tokens', tokens, '--isa', isa, '-t', threads, '--split', split];
  return (await execute([...program, 'parity', ...flags])).stdout.trim();
}

/** The hash of one run, or the reason why there is none. */
async function hash(subject, target, run) {
  try {
    const line = await subject.hash(target, run);
    return /^[0-9a-f]{64}$/.test(line) ? line : `no hash but "${line}"`;
  } catch (error) {
    return `${error.stderr?.trim() || error.message}`.split('\n').at(-1);
  }
}

/** False where an optional target finds no CPU for it. */
async function available({ program, isa, optional }) {
  if (!optional) return true;
  const { stderr } = await execute([...program, 'selftest', '--isa', isa]).catch((error) => error);
  return !stderr.includes(`has no ${isa}`);
}

/** Calls work(item) for each item, as many at once as there are processors. */
async function forEachAtOnce(items, work) {
  const queue = items.values();
  const worker = async () => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
}

const models = findModels();
const hasVectors = models.some((path) => path.includes('vectors'));
const subjects = [
  ...models.map((path) => ({
    name: basename(path, '.gguf'),
    hash: (target, run) => hashLogits(target, path, run),
    runsOf,
  })),
  ...makeTrainings(made, { model: defaultModel, execute }).map((training) => ({
    ...training,
    runsOf: ({ trains = true }) => (trains ? fewRuns : []),
  })),
];
const chosen = [];
const absent = [];
for (const target of targets) ((await available(target)) ? chosen : absent).push(target);

const width = Math.max(...subjects.map(({ name }) => name.length)) + 1;
const row = (name, cells, last) =>
  console.log(name.padEnd(width) + cells.map((cell) => String(cell).padStart(11)).join('') + `  ${last}`);
row('model', chosen.map((target) => target.name), 'sha256 of the logits, or of what training wrote');

let passed = 0;
const differences = [];
for (const subject of subjects) {
  const expected = await hash(subject, targets[0], fewRuns[0]);
  const agree = new Map(chosen.map((target) => [target, 0]));
  const cases = chosen.flatMap((target) => subject.runsOf(target).map((run) => ({ target, run })));
  const before = differences.length;
  await forEachAtOnce(cases, async ({ target, run }) => {
    const got = await hash(subject, target, run);
    if (got === expected && /^[0-9a-f]{64}$/.test(got)) agree.set(target, agree.get(target) + 1);
    else differences.push(`${subject.name} on ${target.name}, ${run.threads} threads, ${run.split}: ${got}`);
  });
  if (differences.length === before) passed++;
  const cell = (target, count) => (count > 0 ? `${agree.get(target)}/${count}` : '-');
  row(subject.name, chosen.map((target) => cell(target, subject.runsOf(target).length)), expected);
}

console.log('\nA cell counts the equal runs: prefill in one go, in pieces and token by token, on 1 and 3 threads;');
console.log('training on 1 and 3 threads, natively alone (-: not here).');
for (const target of absent) console.log(`skipped: this machine cannot run ${target.name}`);
if (!hasVectors) console.log('skipped: no shared data, so its models were not run');
for (const difference of differences.slice(0, 20)) console.log(`DIFFERS ${difference}`);
if (differences.length > 20) console.log(`... and ${differences.length - 20} runs more`);
const skipped = absent.length + (hasVectors ? 0 : 1);
console.log(`\n${passed} passed, ${subjects.length - passed} failed, ${skipped} skipped`);
process.exitCode = passed === subjects.length ? 0 : 1;
