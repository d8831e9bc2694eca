// Quantizing in a worker, whose thread it keeps busy from its beginning to its end.
import { keyOf, openEntry } from '../cache/entry.js';
import { EngineError } from '../error.js';
import { ArgumentError } from '../generated.js';
import { Progress } from '../progress.js';
import { Files } from './files.js';
import { storeOf } from './kept.js';
import { Listening } from './listening.js';
import { QuantizeMachine } from './machine.js';
import { openAgain, openShards } from './open.js';
import { Output, handOver, keepResult } from './output.js';
import { ruleFor } from './rules.js';
import { takeSamples } from './samples.js';

/** @import { Core, Pointer } from '../core.js' */
/** @import { Host } from '../engine.js' */
/** @import { DownloadSettings, Source } from '../sources.js' */
/** @import { Quantization, QuantizeArgs } from './options.js' */

/**
 * A call of the worker.
 * @typedef {object} QuantizeCall
 * @property {Source[]} sources
 * @property {Source} [imatrix]
 * @property {Source} [gradients] one of these two at most
 * @property {QuantizeArgs} options
 * @property {number | undefined} threads
 * @property {DownloadSettings} download
 * @property {string} run
 * @property {'refuse' | 'take' | 'leave'} quantized what happens to a model that is quantized already
 * @property {SharedArrayBuffer} [flow] how many chunks the caller has done with, where memory can be
 *   shared
 * @property {{ identity: string, url: string }} [keep] the entry of the cache that the result becomes
 *   instead of being handed over
 */

/**
 * What it gives: what was done; that the model is quantized already, and why that is said; or that
 * somebody else has just made the same entry.
 * @typedef {{ done: Quantization } | { asIs: string } | { kept: true }} QuantizeOutcome
 */

/** @typedef {(event: any, transfer?: Transferable[]) => void} EmitChunk */

/** The model is quantized already. */
class AlreadyQuantized extends ArgumentError {}

/**
 * @param {QuantizeCall} call
 * @param {Pick<Host, 'pull' | 'startThreads'>} host
 * @param {EmitChunk} emit
 * @returns {Promise<QuantizeOutcome>}
 */
export async function quantizeFiles(call, host, emit) {
  const progress = new Progress(emit);
  const machine = await QuantizeMachine.create(call.threads, host.startThreads);
  const { pull } = host;
  const { run, download: settings, keep } = call;
  const files = new Files(machine, { pull, settings, progress, run });
  const work = async () => {
    const model = await openAgain(files, () => openModel(machine, files, call));
    return { machine, model, emit };
  };
  try {
    if (!keep) {
      const done = quantizeModel(await work(), call, handOver(emit, call.flow));
      return { done };
    }
    return await keepingEntry(keep.identity, settings, progress, async (store) => {
      const place = await files.temporary.create(store);
      const ready = await work();
      const output = new Output((chunk, offset) => place.writeSync(offset, chunk));
      const done = quantizeModel(ready, call, output);
      await keepResult(store, keep, place, done.bytes);
      return { done };
    });
  } catch (error) {
    if (call.quantized === 'leave' && error instanceof AlreadyQuantized)
      return { asIs: error.message };
    throw error;
  } finally {
    progress.close();
    await files.close();
  }
}

/**
 * Holds the lock of an entry, unless it is complete when that has been waited for.
 * @param {string} identity
 * @param {DownloadSettings} settings
 * @param {Progress} progress
 * @param {(store: import('../cache/store.js').Store) => Promise<QuantizeOutcome>} body
 * @returns {Promise<QuantizeOutcome>}
 */
async function keepingEntry(identity, settings, progress, body) {
  const store = await storeOf(settings);
  progress.enter('wait');
  const outcome = await store.lock(await keyOf(identity), {}, async () => {
    progress.enter('load');
    const entry = await openEntry(store, identity);
    return entry.complete ? { kept: /** @type {const} */ (true) } : body(store);
  });
  return /** @type {QuantizeOutcome} */ (outcome);
}

// ---- The source

/** @typedef {{ gguf: Pointer, importance: Pointer, gradients: Pointer }} Opened 0: not there */

/**
 * @param {QuantizeMachine} machine
 * @param {Files} files
 * @param {QuantizeCall} call
 * @returns {Promise<Opened>}
 */
async function openModel(machine, files, { sources, imatrix, gradients, quantized }) {
  const measured = imatrix ?? gradients;
  const gguf = await openShards(machine, files, sources, {
    more: measured ? 1 : 0,
    onHeader: (header) => {
      if (quantized !== 'take') refuseQuantized(machine, header);
    },
  });
  if (!measured) return { gguf, importance: 0, gradients: 0 };
  const header = machine.createHeader();
  await files.open(measured, header, () => {});
  return { gguf, importance: imatrix ? header : 0, gradients: imatrix ? 0 : header };
}

const FULL = ['F32', 'F16', 'BF16'];

/** @param {QuantizeMachine} machine @param {Pointer} gguf */
function refuseQuantized({ core }, gguf) {
  const count = core.call('hb_gguf_tensor_count', gguf);
  for (let i = 0; i < count; i++) {
    const { name, type } = core.read('hb_tensor', core.call('hb_gguf_tensor_at', gguf, i));
    const typeName = core.cstring(core.call('hb_type_name', type));
    if (!FULL.includes(typeName))
      throw new AlreadyQuantized(
        `the model is quantized already (${name} is ${typeName}); with allowRequantize its errors ` +
          'add up',
      );
  }
}

/**
 * A rule that no tensor's name fits is a mistake.
 * @param {Core} core
 * @param {Pointer} gguf
 * @param {QuantizeCall['options']['rules']} rules
 */
function checkRules(core, gguf, rules) {
  const count = core.call('hb_gguf_tensor_count', gguf);
  const names = Array.from(
    { length: count },
    (_, i) => core.read('hb_tensor', core.call('hb_gguf_tensor_at', gguf, i)).name,
  );
  for (const [pattern] of rules)
    if (!names.some((name) => ruleFor(pattern).test(name)))
      throw new ArgumentError(`tensors: no tensor's name has '${pattern}' in it`);
}

// ---- The work

/**
 * @param {{ machine: QuantizeMachine, model: Opened, emit: EmitChunk }} ready
 * @param {QuantizeCall} call
 * @param {Output} output
 * @returns {Quantization}
 */
function quantizeModel({ machine, model, emit }, { options }, output) {
  const begun = performance.now();
  const { core, parallel, threads, threadsReason } = machine;
  const { type, bits } = options;
  checkRules(core, model.gguf, options.rules);
  const listening = new Listening(core, options, output.write, emit);
  const samples = takeSamples(core, model.gguf, options);
  const method = options.method ?? (model.importance ? undefined : usualMethod(options));
  machine.listener = listening;
  core.scope((allocate) => {
    const text = (/** @type {string} */ given) => core.putText(allocate, `${given}\0`).data;
    // Of what a budget leaves as it is, which is nothing, the type has to be one.
    const said = { type: type ?? (bits > 0 ? 'q4_k' : undefined), method, ...options.others };
    for (const [name, value] of Object.entries(said)) {
      const number = typeof value === 'number' ? value : 0;
      const at = typeof value === 'string' ? text(value) : 0;
      if (core.call('hb_wasm_set_option', text(name), at, number) === 0)
        throw new EngineError(`the module knows no option ${name}`);
    }
    const { tokens, samples: count, length } = samples ?? { tokens: 0, samples: 0, length: 0 };
    const { gguf, importance, gradients } = model;
    const pieces = [tokens, count, length];
    machine.check('hb_wasm_quantize', gguf, importance, gradients, bits, ...pieces, parallel);
  });
  return {
    type,
    method: method ?? (model.importance ? 'imatrix' : 'rtn'),
    bytes: output.end(),
    ...listening.summary(),
    calibration: samples && { samples: samples.samples, length: samples.length },
    seconds: (performance.now() - begun) / 1000,
    threads,
    threadsReason,
  };
}

/**
 * The method that is meant where none is named, as on the native program's command line.
 * @param {QuantizeArgs} options
 * @returns {string | undefined} undefined: rtn
 */
function usualMethod({ type, bits, calibration, others }) {
  if (/^table[34]$/i.test(type ?? '')) return 'squeezellm';
  const plain = others.granularity === undefined && others.group_size === undefined;
  return plain && (calibration.length > 0 || bits > 0) ? 'gptq' : undefined;
}
