// Starts workers. Apart from platform.js, which the workers import: a bundler that follows
// `new Worker(new URL(...))` would meet itself again in them.
import { isNode, threads } from './platform.js';

/** @import { Port } from './platform.js' */

/**
 * What can be done to a worker by the thread that started it.
 * @typedef {object} WorkerControl
 * @property {(listener: (reason: string) => void) => void} onFailure hears of a worker that ended
 *   without being told to
 * @property {(busy: boolean) => void} hold whether the worker keeps a Node process alive
 * @property {() => Promise<void>} terminate
 *
 * @typedef {Port & WorkerControl} WorkerPort
 */

/** Starts the worker that holds a model. */
export function startEngine() {
  return isNode
    ? nodeWorker('./worker.js')
    : webPort(new Worker(new URL('./worker.js', import.meta.url), { type: 'module' }));
}

/** Starts a worker that computes for an engine. */
export function startThread() {
  return isNode
    ? nodeWorker('./thread.js')
    : webPort(new Worker(new URL('./thread.js', import.meta.url), { type: 'module' }));
}

/** Starts the worker that runs chat templates. */
export function startRenderer() {
  return isNode
    ? nodeWorker('./chat/render.js', RENDER_LIMITS)
    : webPort(new Worker(new URL('./chat/render.js', import.meta.url), { type: 'module' }));
}

/** The same where nothing resolves the names of packages. */
export function startPlainRenderer() {
  const name = './chat/render-plain.js';
  return isNode
    ? nodeWorker(name, RENDER_LIMITS)
    : webPort(new Worker(new URL(name, HERE), { type: 'module' }));
}

const RENDER_LIMITS = { maxOldGenerationSizeMb: 256 };

// Spelled out where the URL is made, bundlers for the web would pack these files once more.
const HERE = import.meta.url;

/**
 * A program's own flags, such as --input-type, are not for our workers.
 * @param {string} name
 * @param {import('node:worker_threads').ResourceLimits} [resourceLimits]
 */
function nodeWorker(name, resourceLimits) {
  const { Worker: NodeWorker } = threads();
  return nodePort(new NodeWorker(new URL(name, HERE), { execArgv: [], resourceLimits }));
}

/**
 * @param {import('node:worker_threads').Worker} worker
 * @returns {WorkerPort}
 */
function nodePort(worker) {
  return {
    post: (message, transfer) => worker.postMessage(message, /** @type {any} */ (transfer)),
    listen: (listener) => void worker.on('message', listener),
    onFailure: (listener) => {
      worker.on('error', (error) =>
        listener(error instanceof Error ? error.message : String(error)),
      );
      worker.on('messageerror', () => listener('a message could not be read'));
      worker.on('exit', (code) => listener(`the worker ended with code ${code}`));
    },
    hold: (busy) => (busy ? worker.ref() : worker.unref()),
    terminate: async () => void (await worker.terminate()),
  };
}

/**
 * Workers that somebody waits for: a promise alone keeps none of them from the garbage collector.
 * @type {Set<Worker>}
 */
const working = new Set();

/**
 * @param {Worker} worker
 * @returns {WorkerPort}
 */
function webPort(worker) {
  return {
    post: (message, transfer) => worker.postMessage(message, transfer ?? []),
    listen: (listener) => worker.addEventListener('message', (event) => listener(event.data)),
    onFailure: (listener) => {
      worker.addEventListener('error', (event) => {
        event.preventDefault();
        listener(event.message || 'its script could not be loaded');
      });
      worker.addEventListener('messageerror', () => listener('a message could not be read'));
    },
    hold: (busy) => void (busy ? working.add(worker) : working.delete(worker)),
    terminate: async () => {
      working.delete(worker);
      worker.terminate();
    },
  };
}
