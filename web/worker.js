// The worker that holds a model: requests come in as messages, one engine answers them in order.
import { Engine } from './engine.js';
import { EngineError, EnvironmentError, HalfbyteError, TemplateError } from './error.js';
import { AbortError } from './generated.js';
import { parentPort } from './platform.js';

/** @import { Watch } from './engine.js' */

// What travels between the caller (client.js) and this worker:
//   to here    { type: 'call', id, method, args }   { type: 'abort', id }
//              { type: 'chunk', bytes?, error? }    { type: 'threads', error? }
//              { type: 'rendered', number, value?, error? }
//   from here  { type: 'result', id, value }        { type: 'error', id, error }
//              { type: 'event', id, event }         { type: 'pull', number, offset, length }
//              { type: 'threads', lines }           { type: 'broken', error }
//              { type: 'render', number, request }

/**
 * @typedef {'load' | 'inspect' | 'tokenize' | 'detokenize' | 'tokenTexts' | 'logits' | 'stream' |
 *   'chatTokens' | 'saveState' | 'restoreState' | 'bench' | 'kernels' | 'layers' | 'embed' | 'plan' |
 *   'perplexity' | 'compare' | 'quantize' | 'finetune'} Method
 */
/** @typedef {{ name: string, code: string, message: string, details: Record<string, any> }} ErrorRecord */

const port = parentPort();

/** @type {((chunk: { bytes: Uint8Array, error?: string }) => void) | undefined} */
let chunkArrived;
/** @type {((error: string | undefined) => void) | undefined} */
let threadsReady;
/** @type {Map<number, (message: any) => void>} */
const rendering = new Map();
let renders = 0;

const engine = new Engine({
  pull: (number, offset, length) =>
    new Promise((resolve, reject) => {
      chunkArrived = ({ bytes, error }) =>
        error === undefined ? resolve(bytes) : reject(new Error(error));
      port.post({ type: 'pull', number, offset, length });
    }),
  // Each thread gets the memory on a line of its own. Had it passed through the caller's thread, that
  // one would hold it until its next full garbage collection, which shared memory does not hasten.
  startThreads: ({ module, memory, threads }) =>
    new Promise((resolve, reject) => {
      threadsReady = (error) => (error === undefined ? resolve() : reject(new Error(error)));
      const lines = threads.map((plan) => {
        const { port1, port2 } = new MessageChannel();
        port1.postMessage({ module, memory, plan });
        return port2;
      });
      port.post({ type: 'threads', lines }, lines);
    }),
  render: (request) =>
    new Promise((resolve, reject) => {
      const number = renders++;
      rendering.set(number, ({ value, error }) => {
        rendering.delete(number);
        if (!error) return resolve(value);
        const Class = error.code === EnvironmentError.code ? EnvironmentError : TemplateError;
        reject(new Class(error.message));
      });
      port.post({ type: 'render', number, request });
    }),
});

/**
 * Calls that have not been answered.
 * @type {Map<number, Watch & { started: boolean }>}
 */
const calls = new Map();
/** Ends when every call so far has been answered. @type {Promise<void>} */
let queue = Promise.resolve();

/** These touch nothing that a generation uses, so they need not wait for one. */
const IMMEDIATE = new Set(['tokenize', 'detokenize', 'tokenTexts', 'chatTokens']);

port.listen((message) => {
  switch (message.type) {
    case 'call': {
      const watch = { aborted: false, started: false, onAbort: undefined };
      calls.set(message.id, watch);
      if (IMMEDIATE.has(message.method)) void answer(message, watch);
      else queue = queue.then(() => answer(message, watch));
      break;
    }
    case 'abort':
      abort(message.id);
      break;
    case 'chunk':
      chunkArrived?.(message);
      break;
    case 'threads':
      threadsReady?.(message.error);
      break;
    case 'rendered':
      rendering.get(message.number)?.(message);
      break;
  }
});

/** @param {number} id */
function abort(id) {
  const watch = calls.get(id);
  if (!watch) return;
  watch.aborted = true;
  watch.onAbort?.();
  // One that waits is answered now; its turn will find it gone.
  if (!watch.started) fail(id, new AbortError('aborted while waiting for its turn'));
}

/**
 * @param {{ id: number, method: Method, args: any }} call
 * @param {Watch & { started: boolean }} watch
 */
async function answer({ id, method, args }, watch) {
  if (!calls.has(id)) return;
  watch.started = true;
  try {
    const emit = (/** @type {any} */ event, /** @type {Transferable[]} */ transfer = []) =>
      port.post({ type: 'event', id, event }, transfer);
    const value = await engine[method](args, emit, watch);
    calls.delete(id);
    port.post({ type: 'result', id, value }, value instanceof Float32Array ? [value.buffer] : []);
  } catch (error) {
    fail(id, error);
  }
}

/** @param {number} id @param {unknown} error */
function fail(id, error) {
  calls.delete(id);
  const record = describe(error);
  port.post({ type: 'error', id, error: record });
  // Whatever is not one of ours is a defect: nothing can be said about the engine's state.
  if (record.code === EngineError.code) port.post({ type: 'broken', error: record });
}

/** @param {unknown} error @returns {ErrorRecord} */
function describe(error) {
  if (!(error instanceof HalfbyteError)) error = new EngineError(`the engine failed: ${error}`);
  const { name, code, message, constructor } = /** @type {HalfbyteError} */ (error);
  const { fields } = /** @type {typeof HalfbyteError} */ (constructor);
  const details = fields.map((field) => [field, /** @type {any} */ (error)[field]]);
  return { name, code, message, details: Object.fromEntries(details) };
}
