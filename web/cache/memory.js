// The last resort: files in memory, for as long as this thread lives. They are held in pieces, since
// no buffer can be as large as a model.
import { QuotaError } from '../error.js';
import { abortError } from '../client.js';
import { absent, checkName } from './store.js';

/** @import { Lock, Place, Store } from './store.js' */

const PIECE = 1 << 20;
const LIMIT = 512 * 2 ** 20; // the model itself needs memory, too

/** @typedef {{ size: number, pieces: Map<number, Uint8Array> }} MemoryFile */

/** @type {Map<string, MemoryFile>} */
const files = new Map();
/** Of each lock that is held, those who wait. @type {Map<string, (() => void)[]>} */
const locks = new Map();

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** @returns {Store} */
export function openMemory() {
  return {
    kind: 'memory',
    open: async (name, { create = false } = {}) => {
      const file = files.get(checkName(name)) ?? (create ? addFile(name) : undefined);
      if (!file) throw absent(name);
      return place(file);
    },
    readText: async (name) => {
      const file = files.get(checkName(name));
      if (!file) return undefined;
      const bytes = new Uint8Array(file.size);
      read(file, 0, bytes);
      return decoder.decode(bytes);
    },
    writeText: async (name, text) => {
      const file = { size: 0, pieces: new Map() };
      write(file, 0, encoder.encode(text));
      files.set(checkName(name), file);
    },
    rename: async (from, to) => {
      const file = files.get(checkName(from));
      if (!file) throw absent(from);
      files.delete(from);
      files.set(checkName(to), file);
    },
    remove: async (name) => void files.delete(checkName(name)),
    list: async () => [...files].map(([name, { size }]) => ({ name, size })),
    space: async () => ({ used: used(), quota: LIMIT }),
    persist: async () => false,
    lock,
  };
}

/** @param {string} name */
function addFile(name) {
  const file = { size: 0, pieces: new Map() };
  files.set(name, file);
  return file;
}

/** Bytes of all pieces. */
function used() {
  let pieces = 0;
  for (const file of files.values()) pieces += file.pieces.size;
  return pieces * PIECE;
}

/** @param {MemoryFile} file @returns {Place} */
function place(file) {
  return {
    size: async () => file.size,
    read: async (offset, into) => read(file, offset, into),
    write: async (offset, bytes) => write(file, offset, bytes),
    readSync: (offset, into) => read(file, offset, into),
    writeSync: (offset, bytes) => write(file, offset, bytes),
    truncate: async (size) => truncate(file, size),
    flush: async () => {},
    close: async () => {},
  };
}

/**
 * Goes through the part of each piece that a range covers.
 * @param {number} offset
 * @param {number} length
 * @param {(index: number, start: number, done: number, count: number) => void} visit `start` in the
 *   piece, `done` in the range
 */
function eachPiece(offset, length, visit) {
  for (let done = 0; done < length; ) {
    const start = (offset + done) % PIECE;
    const count = Math.min(PIECE - start, length - done);
    visit((offset + done - start) / PIECE, start, done, count);
    done += count;
  }
}

/** @param {MemoryFile} file @param {number} offset @param {Uint8Array} into */
function read(file, offset, into) {
  const length = Math.max(0, Math.min(into.length, file.size - offset));
  eachPiece(offset, length, (index, start, done, count) => {
    const piece = file.pieces.get(index);
    if (piece) into.set(piece.subarray(start, start + count), done);
    else into.fill(0, done, done + count);
  });
  return length;
}

/** @param {MemoryFile} file @param {number} offset @param {Uint8Array} bytes */
function write(file, offset, bytes) {
  let available = LIMIT - used();
  eachPiece(offset, bytes.length, (index, start, done, count) => {
    let piece = file.pieces.get(index);
    if (!piece) {
      if (available < PIECE)
        throw new QuotaError(
          `the cache in memory holds ${LIMIT} bytes and is full; free some with cache.delete() or ` +
            'cache.clear(), or load without the cache',
          { needed: bytes.length, available },
        );
      available -= PIECE;
      file.pieces.set(index, (piece = new Uint8Array(PIECE)));
    }
    piece.set(bytes.subarray(done, done + count), start);
  });
  file.size = Math.max(file.size, offset + bytes.length);
}

/** @param {MemoryFile} file @param {number} size */
function truncate(file, size) {
  for (const [index, piece] of file.pieces) {
    const start = index * PIECE;
    if (start >= size) file.pieces.delete(index);
    else if (start + PIECE > size) piece.fill(0, size - start);
  }
  file.size = size;
}

/** @type {Lock} */
async function lock(name, { signal, wait = true }, body) {
  if (signal?.aborted) throw abortError(signal);
  const waiting = locks.get(name);
  if (!waiting) locks.set(name, []);
  else if (!wait) return undefined;
  else await turn(waiting, signal);
  try {
    return await body();
  } finally {
    const next = locks.get(name)?.shift();
    if (next) next();
    else locks.delete(name);
  }
}

/** @param {(() => void)[]} waiting @param {AbortSignal} [signal] @returns {Promise<void>} */
function turn(waiting, signal) {
  return new Promise((resolve, reject) => {
    const go = () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    };
    const onAbort = () => {
      waiting.splice(waiting.indexOf(go), 1);
      reject(abortError(/** @type {AbortSignal} */ (signal)));
    };
    waiting.push(go);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
