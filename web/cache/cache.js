// What a caller sees of the cache.
import { ArgumentError, StateError } from '../generated.js';
import { canonicalUrl, keyOf, openEntry, readManifest } from './entry.js';
import { openStore } from './store.js';

/** @import { Store } from './store.js' */

/**
 * A file in the cache.
 * @typedef {object} CacheEntry
 * @property {string} id
 * @property {string} identity what was asked for: a URL, or hf:owner/repo/file@revision
 * @property {string} url where it came from
 * @property {number} size in bytes
 * @property {number} stored bytes that are there
 * @property {boolean} complete
 * @property {string | undefined} sha256 of the whole file, if that was proved
 * @property {Date} created
 * @property {Date} used when it was loaded last
 */

/**
 * How the cache stands.
 * @typedef {object} CacheSpace
 * @property {'opfs' | 'directory' | 'memory'} kind where files lie: in the browser's file system, in
 *   a directory (Node), or in memory only
 * @property {string | undefined} reason why in memory only
 * @property {number | undefined} used bytes; in a browser, of all that the origin stores
 * @property {number | undefined} quota bytes that can be used in all
 */

const KEY = /^[0-9a-f]{32}$/;
const FILE = /^([0-9a-f]{32})\.(?:part|gguf|json|bak)/; // with what a crash left of replacing one

/** The files that were downloaded, and what can be done to them. */
export const cache = Object.freeze({ list, delete: remove, clear, persist, space });

/** What is there, the last used first. @returns {Promise<CacheEntry[]>} */
async function list() {
  const store = await openStore();
  /** @type {CacheEntry[]} */
  const entries = [];
  for (const key of await keys(store)) {
    const manifest = await readManifest(store, key);
    if (!manifest) continue;
    const entry = await openEntry(store, manifest.identity);
    if (!entry.manifest) continue;
    const { identity, url, size, sha256, created, used } = entry.manifest;
    entries.push({
      id: key,
      identity,
      url,
      size,
      stored: entry.stored,
      complete: entry.complete,
      sha256: entry.complete ? sha256 : undefined,
      created: new Date(created),
      used: new Date(used),
    });
  }
  return entries.sort((a, b) => b.used.getTime() - a.used.getTime());
}

/**
 * Removes a file.
 * @param {string} id of `list`, or the URL or hub name
 * @returns {Promise<boolean>} whether it was there
 */
async function remove(id) {
  if (typeof id !== 'string') throw new ArgumentError(`an id is a text, not ${id}`);
  const store = await openStore();
  const key = KEY.test(id) ? id : await keyOf(identityOf(id));
  if (!(await keys(store)).has(key)) return false;
  if (!(await removeKey(store, key)))
    throw new StateError(`${id} is being downloaded; abort that first`);
  return true;
}

/**
 * Removes all files but those that are being downloaded.
 * @returns {Promise<number>} how many were removed
 */
async function clear() {
  const store = await openStore();
  let count = 0;
  for (const key of await keys(store)) if (await removeKey(store, key)) count++;
  return count;
}

/**
 * Asks the browser not to evict what is stored, which it may do to any site when space runs short.
 * @returns {Promise<boolean>} whether it is safe
 */
async function persist() {
  return (await openStore()).persist();
}

/** How the cache stands. @returns {Promise<CacheSpace>} */
async function space() {
  const store = await openStore();
  const { used, quota } = await store.space();
  return { kind: store.kind, reason: store.reason, used, quota };
}

/** What the cache calls a URL or hub name. @param {string} id */
function identityOf(id) {
  const [, name] = /^hf:(?:\/\/)?(.+)$/i.exec(id) ?? [];
  if (name) return `hf:${name}${name.includes('@') ? '' : '@main'}`;
  return /^https?:/i.test(id) && URL.canParse(id) ? canonicalUrl(id) : id;
}

/** @param {Store} store @returns {Promise<Set<string>>} */
async function keys(store) {
  const found = (await store.list()).map(({ name }) => FILE.exec(name)?.[1]);
  return new Set(found.filter((key) => key !== undefined));
}

/** @param {Store} store @param {string} key @returns {Promise<boolean>} false: somebody writes it */
async function removeKey(store, key) {
  const done = await store.lock(key, { wait: false }, async () => {
    for (const { name } of await store.list())
      if (FILE.exec(name)?.[1] === key) await store.remove(name);
    return true;
  });
  return done ?? false;
}
