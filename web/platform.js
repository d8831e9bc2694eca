// What differs between a browser and Node: the lines between threads, and the built-in modules of
// Node. Those are asked for at run time, so that importing halfbyte is harmless everywhere and
// bundlers for the web see no `node:` module. (Starting workers: workers.js.)
import { EnvironmentError } from './error.js';

/**
 * One end of a line between two threads.
 * @typedef {object} Port
 * @property {(message: any, transfer?: Transferable[]) => void} post
 * @property {(listener: (message: any) => void) => void} listen
 */

const proc = /** @type {NodeJS.Process | undefined} */ (/** @type {any} */ (globalThis).process);

/** Whether this is Node or Electron's main process, not a page with a bundler's `process`. */
export const isNode =
  typeof proc?.versions?.node === 'string' && /** @type {any} */ (proc).type !== 'renderer';

/**
 * A built-in module of Node.
 * @param {string} name
 * @returns {any}
 */
export function builtin(name) {
  if (typeof proc?.getBuiltinModule !== 'function')
    throw new EnvironmentError('halfbyte needs Node 20.16 or newer');
  return proc.getBuiltinModule(name);
}

/** @returns {typeof import('node:fs/promises')} */
const files = () => builtin('node:fs/promises');
/** @returns {typeof import('node:os')} */
const system = () => builtin('node:os');
/** @returns {typeof import('node:url')} */
const urls = () => builtin('node:url');
/** Node only. @returns {typeof import('node:worker_threads')} */
export const threads = () => builtin('node:worker_threads');

/**
 * A whole small file. Node only, like the next two.
 * @param {URL} url
 * @returns {Promise<Uint8Array>}
 */
export const readFile = (url) => files().readFile(url);

/** @param {URL} url @returns {string} */
export const pathOf = (url) => urls().fileURLToPath(url);

/**
 * Opens a file for reading from its start to its end.
 * @param {string} path
 * @returns {Promise<{ size: number, read: (into: Uint8Array) => Promise<number>,
 *   close: () => Promise<void> }>} `read` gives the number of bytes read
 */
export async function openFile(path) {
  const file = await files().open(path);
  return {
    size: (await file.stat()).size,
    read: async (into) => (await file.read(into, 0, into.length)).bytesRead,
    close: () => file.close(),
  };
}

/** The bytes of a file. @param {string} path */
export async function fileSize(path) {
  const { size } = await files().stat(path);
  return size;
}

/** The major version of V8 in Node; 0 elsewhere. */
export function nodeV8Major() {
  return isNode ? Number.parseInt(proc?.versions.v8 ?? '0', 10) : 0;
}

/** How many threads this machine runs at once. */
export function systemThreads() {
  return isNode
    ? system().availableParallelism()
    : (globalThis.navigator?.hardwareConcurrency ?? 1);
}

/** Bytes of memory of this machine, as far as it says. @returns {number | undefined} */
export function systemMemory() {
  if (isNode) return system().totalmem();
  const gigabytes = /** @type {any} */ (globalThis.navigator)?.deviceMemory;
  return gigabytes ? gigabytes * 2 ** 30 : undefined;
}

/** What the processor is called; browsers tell no more than how much it does at once. */
export function processorName() {
  return (isNode && system().cpus()[0]?.model.trim()) || `${systemThreads()} logical processors`;
}

/** Name and version of what runs JavaScript, such as 'Node 24.1.0 (V8 13.6.233.8)'. */
export function engineName() {
  if (isNode) return `Node ${proc?.versions.node} (V8 ${proc?.versions.v8})`;
  const agent = globalThis.navigator?.userAgent ?? '';
  // Each pretends to be those that stand behind it.
  for (const [name, pattern] of /** @type {[string, RegExp][]} */ ([
    ['Firefox', /Firefox\/([\d.]+)/],
    ['Edge', /Edg\/([\d.]+)/],
    ['Opera', /OPR\/([\d.]+)/],
    ['Chrome', /Chrome\/([\d.]+)/],
    ['Safari', /Version\/([\d.]+).* Safari/],
  ])) {
    const version = pattern.exec(agent)?.[1];
    if (version) return `${name} ${version}`;
  }
  return agent || 'unknown';
}

/**
 * Inside a worker: the line to the thread that started it.
 * @returns {Port}
 */
export function parentPort() {
  if (isNode) {
    const port = threads().parentPort;
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
      scope.addEventListener('message', (/** @type {MessageEvent} */ event) =>
        listener(event.data),
      ),
  };
}

/**
 * Lets the thread look at its messages. A timer would do it, but browsers delay timers by 4 ms.
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
