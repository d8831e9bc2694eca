// One file in the cache. While it is incomplete its bytes lie in KEY.part, then in KEY.gguf; its
// manifest lies in KEY.json, and once more in KEY.bak, since without one nothing could be trusted.
// Whoever writes to an entry holds its lock (store.lock(entry.key, …)).
import { IntegrityError, QuotaError } from '../error.js';
import { ArgumentError, StateError } from '../generated.js';
import { Sha256, sha256, sha256Text } from '../hash.js';
import { CHUNK, formatManifest, isHash, makeManifest, parseManifest } from './manifest.js';

/** @import { Manifest } from './manifest.js' */
/** @import { Place, Store } from './store.js' */

/**
 * The name of an entry: 32 hexadecimal digits.
 * @param {string} identity a canonical URL, or hf:owner/repo/file@revision
 * @returns {Promise<string>}
 */
export async function keyOf(identity) {
  return (await sha256Text(identity)).slice(0, 32);
}

/**
 * The identity of a URL: without its fragment, and without secrets.
 * @param {string | URL} url
 * @returns {string}
 */
export function canonicalUrl(url) {
  const parsed = new URL(url);
  parsed.hash = parsed.username = parsed.password = '';
  return parsed.href;
}

/** The files of an entry. @param {string} key */
export function filesOf(key) {
  const file = (/** @type {string} */ ending) => `${key}.${ending}`;
  return { part: file('part'), whole: file('gguf'), manifest: file('json'), copy: file('bak') };
}

/**
 * The manifest of an entry, or its copy where the one is damaged.
 * @param {Store} store
 * @param {string} key
 * @returns {Promise<Manifest | undefined>}
 */
export async function readManifest(store, key) {
  const { manifest, copy } = filesOf(key);
  for (const name of [manifest, copy]) {
    const found = await parseManifest(await store.readText(name));
    if (found && (await keyOf(found.identity)) === key) return found;
  }
  return undefined;
}

/**
 * What the cache has of a file. Reading a complete entry needs no lock; open an entry anew when its
 * lock was waited for, since it may have become another.
 * @param {Store} store
 * @param {string} identity a canonical URL, or hf:owner/repo/file@revision
 * @returns {Promise<Entry>}
 */
export async function openEntry(store, identity) {
  const entry = new Entry(store, identity, await keyOf(identity));
  await entry.open();
  return entry;
}

export class Entry {
  /** @type {Manifest | undefined} */ #manifest;
  /** @type {Place | undefined} */ #place;
  /** The file that has the bytes. @type {string} */ #file = '';
  #writable = false;

  /**
   * Entries come from `openEntry`.
   * @param {Store} store
   * @param {string} identity
   * @param {string} key
   */
  constructor(store, identity, key) {
    this.store = store;
    this.identity = identity;
    this.key = key;
    this.names = filesOf(key);
  }

  /** What is known of the file; none if nothing of it is there. */
  get manifest() {
    return this.#manifest;
  }

  /** Whether all bytes are there. */
  get complete() {
    return this.#manifest?.complete ?? false;
  }

  /** Whether the chunk was written and hashed. @param {number} index */
  has(index) {
    return typeof this.#manifest?.hashes[index] === 'string';
  }

  /** Bytes of all chunks that are there. */
  get stored() {
    const { hashes, size } = this.#manifest ?? { hashes: [], size: 0 };
    return hashes.reduce((sum, hash, i) => sum + (hash ? Math.min(CHUNK, size - i * CHUNK) : 0), 0);
  }

  /** Looks at what is there. An entry whose bytes are not as many as its manifest says is none. */
  async open() {
    await this.close();
    const manifest = await readManifest(this.store, this.key);
    const sizes = new Map((await this.store.list()).map(({ name, size }) => [name, size]));
    const { part, whole } = this.names;
    this.#manifest = undefined;
    if (!manifest || !(sizes.has(part) || sizes.has(whole))) return;
    // Otherwise the end came between the manifest and the renaming, or something cut the file.
    manifest.complete &&= sizes.get(whole) === manifest.size;
    this.#file = !manifest.complete && sizes.has(part) ? part : whole;
    this.#manifest = manifest;
  }

  // ---- Reading

  /** The bytes, for reading; for writing too once `begin` or `resume` was called. */
  async place() {
    this.#require();
    this.#place ??= await this.store.open(this.#file);
    return this.#place;
  }

  /**
   * @param {number} index of the chunk
   * @param {Uint8Array} into as long as the chunk at least
   * @returns {Promise<Uint8Array>} the part of `into` that the chunk fills
   */
  async readChunk(index, into) {
    const length = this.chunkLength(index);
    const place = await this.place();
    const bytes = into.subarray(0, length);
    const count = await place.read(index * CHUNK, bytes);
    return bytes.subarray(0, count);
  }

  /** @param {number} index */
  chunkLength(index) {
    return Math.min(CHUNK, this.#require().size - index * CHUNK);
  }

  /**
   * Whether the bytes of a chunk are those that were hashed.
   * @param {number} index
   * @param {Uint8Array} [buffer] to read into, of CHUNK bytes
   * @returns {Promise<boolean>}
   */
  async verifyChunk(index, buffer = new Uint8Array(this.chunkLength(index))) {
    if (!this.has(index)) return false;
    const bytes = await this.readChunk(index, buffer);
    return (await sha256(bytes)) === this.#require().hashes[index];
  }

  /**
   * SHA-256 of all bytes, read once, where every chunk is there.
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<string>}
   */
  async hashAll({ signal } = {}) {
    const hash = await Sha256.create();
    const buffer = new Uint8Array(CHUNK);
    for (let i = 0; i < this.#require().hashes.length; i++) {
      signal?.throwIfAborted();
      hash.update(await this.readChunk(i, buffer));
    }
    return hash.digest();
  }

  // ---- Writing, under the lock

  /**
   * Begins anew: nothing of what was there counts any more.
   * @param {{ url: string, etag?: string, modified?: string, size: number, sha256?: string }} file
   */
  async begin(file) {
    if (!Number.isSafeInteger(file.size) || file.size < 0)
      throw new ArgumentError(`a file cannot have ${file.size} bytes`);
    if (file.sha256 !== undefined && !isHash(file.sha256))
      throw new ArgumentError(`'${file.sha256}' is no SHA-256 in 64 hexadecimal digits`);
    await this.discard();
    await this.#requireSpace(file.size);
    await this.#openPart(true);
    this.#manifest = makeManifest({ ...file, identity: this.identity });
    await this.save();
  }

  /** Opens for writing: a part to go on with, or a complete file to be healed. */
  async resume() {
    const manifest = this.#require();
    if (this.#writable) return;
    await this.close();
    manifest.complete = false;
    await this.save();
    if (this.#file === this.names.whole)
      await this.store.rename(this.names.whole, this.names.part);
    await this.#openPart(false);
  }

  /** @param {boolean} create */
  async #openPart(create) {
    this.#file = this.names.part;
    this.#place = await this.store.open(this.#file, { create, write: true });
    this.#writable = true;
  }

  /** @param {number} offset @param {Uint8Array} bytes */
  async write(offset, bytes) {
    if (!this.#writable) throw new StateError('this entry of the cache is not open for writing');
    await (await this.place()).write(offset, bytes);
  }

  /**
   * Notes that a chunk was written, or (null) that it is to be fetched.
   * @param {number} index
   * @param {string | null} hash
   */
  setChunk(index, hash) {
    this.#require().hashes[index] = hash;
  }

  /** Keeps the manifest. A download does this once a second at most: it waits for the disk. */
  async save() {
    const text = await formatManifest(this.#require());
    await this.store.writeText(this.names.manifest, text);
    await this.store.writeText(this.names.copy, text);
  }

  /** Notes that the entry was used. The manifest's copy may be a use older. */
  async touch() {
    const manifest = this.#require();
    manifest.used = Date.now();
    await this.store.writeText(this.names.manifest, await formatManifest(manifest));
  }

  /**
   * Completes the entry, whose SHA-256 is proved by that.
   * @param {string} [sha256] of all bytes, if it was formed while they were written; without it they
   *   are read once more
   */
  async commit(sha256) {
    const manifest = this.#require();
    const missing = manifest.hashes.indexOf(null);
    if (missing >= 0) throw new StateError(`chunk ${missing} of ${manifest.url} is missing`);
    const actual = sha256 ?? (await this.hashAll());
    if (actual !== (manifest.sha256 ?? actual))
      throw new IntegrityError(
        `${manifest.url} has SHA-256 ${actual} and not ${manifest.sha256}; fetch it anew, and if ` +
          'that does not help, look whether the expected one is of another version',
        { expected: manifest.sha256, actual },
      );
    if (this.#writable) await this.#place?.flush();
    await this.close();
    manifest.complete = true;
    manifest.sha256 = actual;
    manifest.used = Date.now();
    await this.save();
    await this.store.rename(this.names.part, this.names.whole);
    this.#file = this.names.whole;
  }

  /**
   * Makes a file of the store this entry, whole and proved.
   * @param {{ name: string, url: string, size: number, hashes: string[], sha256: string }} file
   */
  async adopt({ name, url, size, hashes, sha256 }) {
    const { identity, names } = this;
    await this.discard();
    await this.store.rename(name, names.whole);
    const manifest = makeManifest({ identity, url, size, sha256 });
    this.#manifest = { ...manifest, hashes, complete: true };
    this.#file = names.whole;
    await this.save();
  }

  /** Removes everything of the entry. */
  async discard() {
    await this.close();
    this.#manifest = undefined;
    // The manifest goes first: bytes without one count for nothing.
    for (const name of [this.names.manifest, this.names.copy, this.names.part, this.names.whole])
      await this.store.remove(name);
  }

  async close() {
    const place = this.#place;
    this.#place = undefined;
    this.#writable = false;
    await place?.close();
  }

  /** @param {number} size */
  async #requireSpace(size) {
    const { used, quota } = await this.store.space();
    if (used === undefined || quota === undefined || used + size <= quota) return;
    const available = Math.max(0, quota - used);
    throw new QuotaError(
      `${this.identity} takes ${size} bytes and the cache (${this.store.kind}) has ${available} ` +
        'left; free some with cache.delete() or cache.clear(), or load without the cache',
      { needed: size, available },
    );
  }

  #require() {
    if (!this.#manifest) throw new StateError('this entry of the cache is empty');
    return this.#manifest;
  }
}
