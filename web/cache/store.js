// Where downloaded files lie: the browser's own file system, a directory in Node, or memory where
// there is neither. All names in a store are ours.
import { ArgumentError, IoError } from '../generated.js';
import { isNode } from '../platform.js';
import { openDirectory } from './directory.js';
import { openMemory } from './memory.js';
import { openOpfs } from './opfs.js';

/**
 * @typedef {object} Store
 * @property {'opfs' | 'directory' | 'memory'} kind
 * @property {string} [reason] why nothing outlives this thread, of a store in memory that was not
 *   asked for
 * @property {(name: string, options?: OpenOptions) => Promise<Place>} open a file, which must be
 *   there (IoError) unless `create` is set
 * @property {(name: string) => Promise<string | undefined>} readText a whole small file
 * @property {(name: string, text: string) => Promise<void>} writeText replaces a file at once:
 *   whoever reads sees the old text or the new one
 * @property {(from: string, to: string) => Promise<void>} rename replaces what was there
 * @property {(name: string) => Promise<void>} remove a file, which may be absent
 * @property {() => Promise<{ name: string, size: number }[]>} list
 * @property {() => Promise<Space>} space
 * @property {() => Promise<boolean>} persist asks that nothing be evicted; whether that is so
 * @property {Lock} lock
 */

/**
 * @typedef {{ create?: boolean, write?: boolean }} OpenOptions `create`: make the file if it is
 *   absent; `write`: it is to be written, as it is with `create`
 */

/**
 * Bytes that are stored, and that may be.
 * @typedef {{ used?: number, quota?: number }} Space
 */

/**
 * Runs `body` while nobody else, in no tab or process, holds the lock of that name. `wait` false:
 * gives undefined at once if it is taken. `signal` ends the waiting, not the body.
 * @typedef {<T>(name: string, options: { signal?: AbortSignal, wait?: boolean },
 *   body: () => Promise<T>) => Promise<T | undefined>} Lock
 */

/**
 * An open file.
 * @typedef {object} Place
 * @property {() => Promise<number>} size
 * @property {(offset: number, into: Uint8Array) => Promise<number>} read fills the buffer as far as
 *   the file goes and gives the number of bytes
 * @property {(offset: number, bytes: Uint8Array) => Promise<void>} write all of them, or QuotaError
 * @property {(offset: number, into: Uint8Array) => number} [readSync] the same at once, in workers
 * @property {(offset: number, bytes: Uint8Array) => void} [writeSync] likewise
 * @property {(size: number) => Promise<void>} truncate cuts, or lengthens with zeros
 * @property {() => Promise<void>} flush until what was written outlives a crash
 * @property {() => Promise<void>} close
 */

const NAME = /^[a-z0-9][a-z0-9.-]{0,99}$/;

/**
 * A name that no path can hide in.
 * @param {string} name
 * @returns {string}
 */
export function checkName(name) {
  if (!NAME.test(name)) throw new ArgumentError(`'${name}' is no name of a file in the cache`);
  return name;
}

/**
 * The store of that kind, or the best that works here.
 * @param {{ kind?: Store['kind'], path?: string }} [options] `path`: of the directory, in Node
 * @returns {Promise<Store>}
 */
export async function openStore({ kind, path } = {}) {
  switch (kind) {
    case 'memory':
      return openMemory();
    case 'directory':
      return openDirectory(path);
    case 'opfs':
      return openOpfs();
    case undefined:
      break;
    default:
      throw new ArgumentError(`a cache is opfs, directory or memory, not ${kind}`);
  }
  try {
    return await (isNode ? openDirectory(path) : openOpfs());
  } catch (error) {
    if (path !== undefined) throw error; // it was asked for
    return { ...openMemory(), reason: /** @type {Error} */ (error).message };
  }
}

/** @param {string} name @param {unknown} [cause] */
export function absent(name, cause) {
  return new IoError(`the cache has no file ${name}`, { cause });
}
