// Files in the file system of a page's origin, and what can go wrong with them.
import { QuotaError } from '../error.js';
import { IoError } from '../generated.js';

/** @import { Place } from './store.js' */

/**
 * @typedef {object} SyncHandle
 * @property {() => number} getSize
 * @property {(into: Uint8Array, options: { at: number }) => number} read
 * @property {(bytes: Uint8Array, options: { at: number }) => number} write
 * @property {(size: number) => void} truncate
 * @property {() => void} flush
 * @property {() => void} close
 */

const TRIES = 30; // a tab that was closed frees its handles a moment after its locks
const BETWEEN = 100; // ms

/** @param {FileSystemFileHandle} handle */
export function canSync(handle) {
  return 'createSyncAccessHandle' in handle;
}

/**
 * Reads the file as it is now.
 * @param {FileSystemFileHandle} handle
 * @returns {Promise<Place>}
 */
export async function readPlace(handle) {
  const { name } = handle;
  const file = await handle.getFile();
  const readOnly = async () => {
    throw new IoError(`${name} in the cache is open for reading only`);
  };
  return {
    size: async () => file.size,
    read: async (offset, into) => readBlob(file, offset, into, name),
    readSync: (offset, into) => {
      try {
        return readBlobSync(file, offset, into);
      } catch (cause) {
        throw refusal(cause, `${name} could not be read at byte ${offset}`);
      }
    },
    write: readOnly,
    truncate: readOnly,
    flush: async () => {},
    close: async () => {},
  };
}

/** @param {Blob} file @param {number} offset @param {Uint8Array} into @param {string} name */
async function readBlob(file, offset, into, name) {
  try {
    const piece = file.slice(offset, offset + into.length);
    const bytes = new Uint8Array(await piece.arrayBuffer());
    into.set(bytes);
    return bytes.length;
  } catch (cause) {
    throw await problem(cause, `${name} could not be read at byte ${offset}`);
  }
}

/**
 * The same at once, which workers of browsers alone can.
 * @param {Blob} file
 * @param {number} offset
 * @param {Uint8Array} into
 * @returns {number}
 */
export function readBlobSync(file, offset, into) {
  const reader = new /** @type {any} */ (globalThis).FileReaderSync();
  const bytes = new Uint8Array(reader.readAsArrayBuffer(file.slice(offset, offset + into.length)));
  into.set(bytes);
  return bytes.length;
}

/** @param {FileSystemFileHandle} handle @returns {Promise<Place>} */
export async function syncPlace(handle) {
  const { name } = handle;
  /** @type {SyncHandle} */
  let file;
  try {
    file = await patient(() => /** @type {any} */ (handle).createSyncAccessHandle());
  } catch (cause) {
    throw await problem(cause, `${name} could not be opened for writing`);
  }
  const read = (/** @type {number} */ offset, /** @type {Uint8Array} */ into) =>
    file.read(into, { at: offset });
  const write = (/** @type {number} */ offset, /** @type {Uint8Array} */ bytes) => {
    const count = file.write(bytes, { at: offset });
    if (count < bytes.length) throw new DOMException('', 'QuotaExceededError');
  };
  return {
    size: async () => file.getSize(),
    read: async (offset, into) => {
      try {
        return read(offset, into);
      } catch (cause) {
        throw await problem(cause, `${name} could not be read at byte ${offset}`);
      }
    },
    write: async (offset, bytes) => {
      try {
        write(offset, bytes);
      } catch (cause) {
        throw await problem(cause, `${name} could not be written`, bytes.length);
      }
    },
    readSync: (offset, into) => {
      try {
        return read(offset, into);
      } catch (cause) {
        throw refusal(cause, `${name} could not be read at byte ${offset}`);
      }
    },
    writeSync: (offset, bytes) => {
      try {
        write(offset, bytes);
      } catch (cause) {
        throw refusal(cause, `${name} could not be written`, bytes.length);
      }
    },
    truncate: async (size) => {
      try {
        file.truncate(size);
      } catch (cause) {
        throw await problem(cause, `${name} could not be cut`, size);
      }
    },
    flush: async () => {
      try {
        file.flush();
      } catch (cause) {
        throw await problem(cause, `${name} could not be written`, 0);
      }
    },
    close: async () => file.close(),
  };
}

/**
 * For pages: each change is a copy that takes the file's place.
 * @param {FileSystemFileHandle} handle
 * @returns {Place}
 */
export function copyPlace(handle) {
  const { name } = handle;
  const change = (/** @type {any} */ step, /** @type {number} */ needed) =>
    replace(handle, step, needed, true);
  return {
    size: async () => (await handle.getFile()).size,
    read: async (offset, into) => readBlob(await handle.getFile(), offset, into, name),
    write: (offset, bytes) =>
      change({ type: 'write', position: offset, data: bytes }, bytes.length),
    truncate: (size) => change({ type: 'truncate', size }, size),
    flush: async () => {},
    close: async () => {},
  };
}

/**
 * @param {FileSystemFileHandle} handle
 * @param {FileSystemWriteChunkType} data
 * @param {number} [needed]
 * @param {boolean} [keepExistingData]
 */
export async function replace(handle, data, needed = 0, keepExistingData = false) {
  try {
    const stream = await patient(() => handle.createWritable({ keepExistingData }));
    try {
      await stream.write(data);
      await stream.close();
    } catch (error) {
      await stream.abort().catch(() => {});
      throw error;
    }
  } catch (cause) {
    throw await problem(cause, `${handle.name} could not be written`, needed);
  }
}

/** @param {FileSystemFileHandle} handle @param {string} to */
export async function move(handle, to) {
  const from = handle.name;
  try {
    await patient(() => /** @type {any} */ (handle).move(to));
  } catch (cause) {
    throw await problem(cause, `${from} could not be renamed to ${to}`);
  }
}

/**
 * Tries again for a while when somebody else has the file.
 * @template T
 * @param {() => Promise<T>} body
 * @returns {Promise<T>}
 */
export async function patient(body) {
  for (let tried = 1; ; tried++) {
    try {
      return await body();
    } catch (error) {
      if (nameOf(error) !== 'NoModificationAllowedError' || tried === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, BETWEEN));
    }
  }
}

/**
 * What a failure of the browser is in our words.
 * @param {unknown} cause
 * @param {string} what
 * @param {number} [needed] bytes that were to be written
 */
export async function problem(cause, what, needed) {
  const full = nameOf(cause) === 'QuotaExceededError';
  return refusal(cause, what, needed, full ? await freeBytes(needed ?? 0) : undefined);
}

/**
 * The same of one who cannot ask how much is left.
 * @param {unknown} cause
 * @param {string} what
 * @param {number} [needed]
 * @param {number} [available] bytes that are left
 */
function refusal(cause, what, needed, available) {
  if (nameOf(cause) === 'QuotaExceededError') {
    const left = available === undefined ? '' : ` and grants ${available} more`;
    return new QuotaError(
      `${what} in the cache: the browser refuses ${needed ?? 'the'} bytes${left}; free some with ` +
        'cache.delete() or cache.clear(), ask for more with cache.persist(), or load without ' +
        'the cache',
      { cause, needed, available },
    );
  }
  if (nameOf(cause) === 'NoModificationAllowedError')
    return new IoError(`${what} in the cache: another tab is using it`, { cause });
  return new IoError(`${what} in the cache: ${text(cause)}`, { cause });
}

/**
 * What is left after `needed` bytes were too much. Some browsers pretend that it is always 10 GiB.
 * @param {number} needed
 * @returns {Promise<number | undefined>}
 */
async function freeBytes(needed) {
  const { usage, quota } = await navigator.storage.estimate();
  if (usage === undefined || quota === undefined || quota - usage >= needed) return undefined;
  return Math.max(0, quota - usage);
}

/** @param {unknown} error @returns {string | undefined} */
function nameOf(error) {
  return /** @type {any} */ (error)?.name;
}

/** @param {unknown} error */
function text(error) {
  return error instanceof Error ? error.message || error.name : String(error);
}
