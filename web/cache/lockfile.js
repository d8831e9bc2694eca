// Locks between processes and between the threads of one. The file says who holds the lock: the
// address where the holder listens. Connecting to it tells whether the holder still lives, and the
// end of that connection that the lock is free; the system ends it however the holder ends, even
// where only its thread does. Where no one can listen, the number of the process has to do.
import { abortError } from '../client.js';
import { IoError } from '../generated.js';
import { builtin } from '../platform.js';

/** @returns {typeof import('node:fs/promises')} */
const fs = () => builtin('node:fs/promises');
/** @returns {typeof import('node:net')} */
const net = () => builtin('node:net');

const LONGEST_ADDRESS = 100; // a socket's path has 104 bytes and more, by system
const RETRY = 100; // ms between looks at a holder who does not listen
const SOCKET = /[/\\]hb-[0-9a-f-]{18}\.sock$/;
const SHORT = 10; // ms that it takes at most to remove a file
const UNWRITTEN = 5000; // ms after which what is half done is left from a crash

/** @typedef {{ pid: number, token: string, address?: string }} Holder */

/** What is open in this thread, lest a lock be taken for a dead process's. @type {Set<string>} */
const held = new Set();

/**
 * @template T
 * @param {string} path
 * @param {{ signal?: AbortSignal, wait?: boolean }} options
 * @param {() => Promise<T>} body
 * @returns {Promise<T | undefined>}
 */
export async function lockFile(path, { signal, wait = true }, body) {
  const token = builtin('node:crypto').randomUUID();
  const line = await listen(token, path);
  const { pid } = builtin('node:process');
  const mine = JSON.stringify({ pid, token, address: line?.address });
  try {
    held.add(token);
    for (;;) {
      if (signal?.aborted) throw abortError(signal);
      if (await claim(path, mine)) break;
      if (!(await outlive(path, wait, signal))) return undefined;
    }
    try {
      return await body();
    } finally {
      // Unless somebody took it for abandoned.
      if ((await readLock(path)) === mine) await fs().rm(path, { force: true });
    }
  } finally {
    held.delete(token);
    line?.close();
  }
}

/**
 * Opens the line by which others notice this holder's end.
 * @param {string} token
 * @param {string} path
 * @returns {Promise<{ address: string, close: () => void } | undefined>}
 */
function listen(token, path) {
  const { join, dirname } = builtin('node:path');
  const name = `hb-${token.slice(0, 18)}.sock`;
  const beside = join(dirname(path), name);
  const address =
    builtin('node:process').platform === 'win32'
      ? `\\\\.\\pipe\\${name}`
      : beside.length <= LONGEST_ADDRESS
        ? beside
        : join(builtin('node:os').tmpdir(), name);
  return new Promise((resolve) => {
    /** @type {Set<import('node:net').Socket>} */
    const waiting = new Set();
    const server = net().createServer((socket) => {
      socket.on('error', () => {});
      socket.on('close', () => waiting.delete(socket));
      socket.resume().unref();
      waiting.add(socket);
    });
    const close = () => {
      server.close();
      for (const socket of waiting) socket.destroy();
    };
    server.on('error', () => resolve(undefined));
    server.listen(address, () => resolve({ address, close }));
    server.unref();
  });
}

/**
 * Makes the lock's file with its contents in one step, unless it is there.
 * @param {string} path
 * @param {string} mine
 */
async function claim(path, mine) {
  const beside = `${path}.${builtin('node:crypto').randomUUID().slice(0, 8)}.new`;
  try {
    await fs().writeFile(beside, mine, { flag: 'wx' });
    try {
      await fs().link(beside, path);
    } catch (error) {
      if (/** @type {any} */ (error).code === 'EEXIST') return false;
      await fs().writeFile(path, mine, { flag: 'wx' }); // a file system without links
    }
    return true;
  } catch (cause) {
    if (/** @type {any} */ (cause).code === 'EEXIST') return false;
    throw new IoError(`the lock ${path} could not be made: ${/** @type {any} */ (cause).message}`, {
      cause,
    });
  } finally {
    await fs().rm(beside, { force: true }).catch(() => {});
  }
}

/**
 * Waits until the holder is gone, and takes away what a dead one left.
 * @param {string} path
 * @param {boolean} wait
 * @param {AbortSignal} [signal]
 * @returns {Promise<boolean>} false: somebody holds the lock and nobody wants to wait
 */
async function outlive(path, wait, signal) {
  const text = await readLock(path);
  if (text === undefined) return true;
  const holder = parse(text);
  if (!holder) {
    if (await olderThan(path, UNWRITTEN)) return abandon(path, text);
    await pause(RETRY, signal);
    return true;
  }
  const line = holder.address ? await connect(holder.address) : undefined;
  if (line) {
    if (wait) await ended(line, signal);
    else line.destroy();
    return wait;
  }
  if (!holder.address && (held.has(holder.token) || isAlive(holder.pid))) {
    if (wait) await pause(RETRY, signal);
    return wait;
  }
  return abandon(path, text);
}

/** @param {string} path @returns {Promise<string | undefined>} */
async function readLock(path) {
  return fs()
    .readFile(path, 'utf8')
    .catch(() => undefined);
}

/** @param {string} text @returns {Holder | undefined} */
function parse(text) {
  try {
    const { pid, token, address } = JSON.parse(text);
    if (!Number.isInteger(pid) || pid <= 0 || typeof token !== 'string') return undefined;
    // No other address than one of ours is ever connected to.
    return { pid, token, address: SOCKET.test(address) ? address : undefined };
  } catch {
    return undefined;
  }
}

/**
 * Takes a dead holder's file away. Several may have seen it dead; while one makes sure that the file
 * is still the dead one's and removes it, a folder keeps the others out, lest they remove the file
 * of the next holder.
 * @param {string} path
 * @param {string} dead its contents
 */
async function abandon(path, dead) {
  const guard = `${path}.old`;
  try {
    await fs().mkdir(guard);
  } catch {
    if (await olderThan(guard, UNWRITTEN)) await fs().rmdir(guard).catch(() => {});
    await pause(SHORT);
    return true;
  }
  try {
    if ((await readLock(path)) === dead) {
      await fs().rm(path, { force: true });
      await removeSocket(parse(dead)?.address);
    }
  } finally {
    await fs().rmdir(guard).catch(() => {});
  }
  return true;
}

/** A killed process leaves its socket's file. @param {string} [address] */
async function removeSocket(address) {
  if (address)
    await fs()
      .rm(address, { force: true })
      .catch(() => {});
}

/** @param {string} path @param {number} age in ms */
async function olderThan(path, age) {
  const stat = await fs()
    .stat(path)
    .catch(() => undefined);
  return stat !== undefined && Date.now() - stat.mtimeMs > age;
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    builtin('node:process').kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {any} */ (error).code === 'EPERM';
  }
}

/** @param {string} address @returns {Promise<import('node:net').Socket | undefined>} */
function connect(address) {
  return new Promise((resolve) => {
    const socket = net().connect(address);
    socket.on('connect', () => resolve(socket));
    socket.on('error', () => resolve(undefined));
  });
}

/** @param {import('node:net').Socket} line @param {AbortSignal} [signal] @returns {Promise<void>} */
function ended(line, signal) {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      line.destroy();
      reject(abortError(/** @type {AbortSignal} */ (signal)));
    };
    line.resume();
    line.on('close', () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) onAbort();
  });
}

/** @param {number} time in ms @param {AbortSignal} [signal] @returns {Promise<void>} */
function pause(time, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, time);
    signal?.addEventListener('abort', done, { once: true });
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    }
  });
}
