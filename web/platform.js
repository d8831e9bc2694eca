// What differs between a browser and Node: workers, and the built-in modules of Node. Those are
// asked for at run time, so that importing halfbyte is harmless everywhere and bundlers for the
// web see no `node:` module.
import { EnvironmentError } from './error.js';

/**
 * One end of a line between two threads.
 * @typedef {object} Port
 * @property {(message: any, transfer?: Transferable[]) => void} post
 * @property {(listener: (message: any) => void) => void} listen
 */

/**
 * A worker seen from the thread that started it.
 * @typedef {Port & {
 *   onFailure: (listener: (reason: string) => void) => void,
 *   hold: (busy: boolean) => void,
 *   terminate: () => Promise<void>,
 * }} WorkerPort
 * `onFailure` hears of a worker that ended without being told to. `hold`: whether the worker keeps a
 * Node process alive.
 */

const proc = /** @type {NodeJS.Process | undefined} */ (/** @type {any} */ (globalThis).process);

/** Whether this is Node (or Electron's main process), and not a page that a bundler gave a `process`. */
export const isNode =
  typeof proc?.versions?.node === 'string' && /** @type {any} */ (proc).type !== 'renderer';

/**
 * @typedef {{
 *   'node:fs/promises': typeof import('node:fs/promises'),
 *   'node:os': typeof import('node:os'),
 *   'node:url': typeof import('node:url'),
 *   'node:worker_threads': typeof import('node:worker_threads'),
 * }} NodeModules
 */

/**
 * A built-in module of Node.
 * @template {keyof NodeModules} Name
 * @param {Name} name
 * @returns {NodeModules[Name]}
 */
export function builtin(name) {
  if (typeof proc?.getBuiltinModule !== 'function')
    throw new EnvironmentError('halfbyte needs Node 20.16 or newer');
  return /** @type {any} */ (proc.getBuiltinModule(name));
}

/** The major version of V8 in Node; 0 elsewhere. */
export function nodeV8Major() {
  return isNode ? Number.parseInt(proc?.versions.v8 ?? '0', 10) : 0;
}

/** How many threads this machine runs at once. */
export function systemThreads() {
  if (isNode) {
    const os = builtin('node:os');
    return os.availableParallelism?.() ?? os.cpus().length;
  }
  return globalThis.navigator?.hardwareConcurrency ?? 1;
}

/** Starts the worker that holds a model. */
export function startEngine() {
  if (isNode) {
    const { Worker } = builtin('node:worker_threads');
    return nodePort(new Worker(new URL('./worker.js', import.meta.url)));
  }
  return webPort(new Worker(new URL('./worker.js', import.meta.url), { type: 'module' }));
}

/** Starts a worker that computes for an engine. */
export function startThread() {
  if (isNode) {
    const { Worker } = builtin('node:worker_threads');
    return nodePort(new Worker(new URL('./thread.js', import.meta.url)));
  }
  return webPort(new Worker(new URL('./thread.js', import.meta.url), { type: 'module' }));
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
      worker.on('error', (error) => listener(error instanceof Error ? error.message : String(error)));
      worker.on('messageerror', () => listener('a message could not be read'));
      worker.on('exit', (code) => listener(`the worker ended with code ${code}`));
    },
    hold: (busy) => (busy ? worker.ref() : worker.unref()),
    terminate: async () => void (await worker.terminate()),
  };
}

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
    hold: () => {},
    terminate: async () => worker.terminate(),
  };
}

/**
 * Inside a worker: the line to the thread that started it.
 * @returns {Port}
 */
export function parentPort() {
  if (isNode) {
    const port = builtin('node:worker_threads').parentPort;
    if (!port) throw new EnvironmentError('this module runs in a worker only');
    return {
      post: (message, transfer) => port.postMessage(message, /** @type {any} */ (transfer)),
      listen: (listener) => void port.on('message', listener),
    };
  }
  const scope = /** @type {any} */ (globalThis);
  return {
    post: (message, transfer) => scope.postMessage(message, transfer ?? []),
    listen: (listener) =>
      scope.addEventListener('message', (/** @type {MessageEvent} */ event) => listener(event.data)),
  };
}

/**
 * Lets the thread look at its messages. A timer would do it too, but browsers make timers wait 4 ms.
 * @type {() => Promise<void>}
 */
export const breathe = isNode
  ? () => new Promise((resolve) => setImmediate(resolve))
  : (() => {
      /** @type {(() => void)[]} */
      const waiting = [];
      /** @type {MessageChannel | undefined} */
      let channel;
      return () =>
        new Promise((resolve) => {
          if (!channel) {
            channel = new MessageChannel();
            channel.port1.onmessage = () => waiting.shift()?.();
          }
          waiting.push(resolve);
          channel.port2.postMessage(0);
        });
    })();
