// What the command `bench` does: measures with each number of threads, and tells it as the native
// program does.
import { samples } from '../bench.js';
import { EnvironmentError, benchKernels, capabilities, load } from '../index.js';
import { benchArgs } from '../options.js';

/** @import { BenchArgs, BenchResult } from '../bench.js' */
/** @import { Model } from '../index.js' */
/** @import { KernelResult } from '../kernels.js' */
/** @import { BenchOptions, LoadOptions, ModelSource } from '../options.js' */

const MOST_LOADS = 3;
const LOAD_MS = 3000; // after which no more loads begin
const WIDTHS = [16, 16, 18, 14, 12];

/** How many threads are compared unless others are asked for. */
function threadCounts() {
  const { count } = capabilities().threads;
  return count > 1 ? [1, count] : [1];
}

/**
 * @param {ModelSource} source
 * @param {BenchOptions} benchOptions
 * @param {{ counts?: number[], json: boolean } & LoadOptions} options
 * @returns {Promise<string>} the report
 */
export async function benchModel(
  source,
  benchOptions,
  { counts = threadCounts(), json, ...options },
) {
  const args = benchArgs(benchOptions);
  const contextLength = args.depth + args.prompt + args.generate;
  const results = [];
  let weightBytes = 0;
  for (const threads of counts) {
    const { model, seconds } = await loadAgain(source, { ...options, threads, contextLength });
    weightBytes = model.info.weightBytes;
    results.push({ ...(await model.bench(args)), ...samples('loadSeconds', seconds) });
    await model.dispose();
  }
  return json ? jsonOf(results) : tableOf(results, weightBytes, args);
}

/**
 * Loads a model several times; the last one stays.
 * @param {ModelSource} source
 * @param {LoadOptions} options
 * @returns {Promise<{ model: Model, seconds: number[] }>}
 */
async function loadAgain(source, options) {
  const begun = performance.now();
  const seconds = [];
  for (;;) {
    const model = await load(source, options);
    const { threads, threadsReason, loadSeconds } = model.info;
    seconds.push(loadSeconds);
    const enough = seconds.length === MOST_LOADS || performance.now() - begun >= LOAD_MS;
    if (enough && threads === options.threads) return { model, seconds };
    await model.dispose();
    if (threads !== options.threads)
      throw new EnvironmentError(`${options.threads} threads cannot be had: ${threadsReason}`);
  }
}

/**
 * @param {{ counts?: number[], types?: string[], isa?: LoadOptions['isa'], json: boolean }} options
 * @returns {Promise<string>} the report
 */
export async function benchAllKernels({ counts = threadCounts(), json, ...options }) {
  const results = [];
  for (const threads of counts) results.push(...(await benchKernels({ ...options, threads })));
  return json ? jsonOf(results) : kernelTableOf(results);
}

// ---- Telling

/** An array with an object a line. @param {object[]} results */
function jsonOf(results) {
  const digits = (/** @type {string} */ _, /** @type {unknown} */ value) =>
    typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;
  return `[\n  ${results.map((each) => JSON.stringify(each, digits)).join(',\n  ')}\n]\n`;
}

/** @param {number} value @param {number} [digits] */
const shown = (value, digits = 4) => String(Number(value.toPrecision(digits)));

/** @param {number} bytes */
const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/**
 * @param {BenchResult[]} results
 * @param {number} weightBytes
 * @param {BenchArgs} args
 */
function tableOf(results, weightBytes, { prompt, generate, depth, repeat }) {
  const [{ cpu, engine, isa }] = results;
  const peak = Math.max(...results.map(({ peakBytes }) => peakBytes));
  const row = (/** @type {string} */ first, /** @type {string[]} */ cells) =>
    `${first.padStart(7)}  ${cells.map((cell, i) => cell.padEnd(WIDTHS[i])).join(' ')}`.trimEnd();
  const withSpread = (/** @type {number} */ median, /** @type {number} */ spread) =>
    `${shown(median)} +-${((spread / median) * 50).toFixed(0)} %`;
  return [
    `${cpu}, ${engine}, ${isa}`,
    `weights ${mebibytes(weightBytes)}, memory ${mebibytes(peak)}; ` +
      `prompt ${prompt}, generated ${generate}, depth ${depth}, ${repeat} times`,
    '',
    row('threads', [
      ...['prefill tok/s', 'decode tok/s', 'decode GB/s', 'prefill Gop/s', 'load s'],
      'first token s',
    ]),
    ...results.map((each) =>
      row(String(each.threads), [
        withSpread(each.prefill, each.prefillSpread),
        withSpread(each.decode, each.decodeSpread),
        `${shown(each.decodeGBps, 3)} of ${shown(each.readGBps, 3)}: ${readShare(each)}`,
        shown(each.prefillGops),
        shown(each.loadSeconds, 3),
        shown(each.firstTokenSeconds, 3),
      ]),
    ),
    '',
  ].join('\n');
}

/** @param {BenchResult} result */
const readShare = ({ decodeGBps, readGBps }) =>
  `${(readGBps > 0 ? (decodeGBps / readGBps) * 100 : 0).toFixed(0)} %`;

/** @param {KernelResult[]} results */
function kernelTableOf(results) {
  const row = (/** @type {string[]} */ ...cells) => {
    const [threads, kernel, type, size, ...numbers] = cells;
    const start = `${threads.padStart(7)}  ${kernel.padEnd(9)} ${type.padEnd(7)} ${size.padEnd(15)}`;
    return start + numbers.map((cell, i) => cell.padStart(i === 0 ? 6 : 11)).join('');
  };
  return [
    results[0]?.isa ?? '',
    row('threads', 'kernel', 'type', '  rows x cols', 'batch', 'bytes', 'operations', 'GB/s', 'Gop/s', 'of read'),
    ...results.map((each) =>
      row(
        String(each.threads),
        each.kernel,
        each.type,
        `${String(each.rows).padStart(6)} x ${each.cols}`,
        String(each.batch),
        ...[each.bytes, each.operations, each.GBps, each.Gops].map((value) => shown(value, 3)),
        `${(each.readShare * 100).toFixed(0)} %`,
      ),
    ),
    '',
  ].join('\n');
}
