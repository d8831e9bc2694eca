// Opens a file of a server for reading, through the cache: what lies there is read from there, the
// rest is fetched, kept and handed on at the same time.
import { openEntry } from '../cache/entry.js';
import { CHUNK } from '../cache/manifest.js';
import { QuotaError } from '../error.js';
import { FormatError, IoError, TruncatedError } from '../generated.js';
import { Sha256, sha256 } from '../hash.js';
import { openDirect, restartIf } from './direct.js';
import { Filling, STATE } from './filling.js';
import { ChangedError } from './http.js';
import { Restart } from './restart.js';
import { PATIENCE, aborted } from './retry.js';
import { Server } from './server.js';
import { targetOf } from './target.js';

/** @import { Entry } from '../cache/entry.js' */
/** @import { Store } from '../cache/store.js' */
/** @import { Reader } from '../sources.js' */
/** @import { Patience } from './retry.js' */
/** @import { Stream } from './server.js' */
/** @import { Target } from './target.js' */

const PARALLEL = 3; // connections: enough to fill a line, few enough for one server
const HEADER_WINDOW = 1 << 20;

/**
 * @typedef {object} DownloadOptions
 * @property {Store} [store] where to keep the bytes; nowhere unless given
 * @property {Record<string, string>} [headers] for the server that is named, not for others that
 *   it sends us to
 * @property {string} [sha256] that the file must have
 * @property {string} [hub] address of the hub that `hf:` names are of
 * @property {boolean} [strict] fail where the cache fails, instead of going on without it
 * @property {boolean} [headerOnly] only the file's start will be read: keep nothing
 * @property {number} [parallel] connections at once
 * @property {AbortSignal} [signal]
 * @property {Patience} [patience]
 * @property {(state: 'wait' | 'download' | 'load') => void} [onState]
 */

/**
 * @param {string} name a URL or the name of a file on a hub
 * @param {DownloadOptions} [options]
 * @returns {Promise<Reader>}
 */
export async function openDownload(name, options = {}) {
  const target = targetOf(name, options.hub);
  const download = new Download(target, options);
  try {
    return await download.open();
  } catch (error) {
    throw await download.explain(error);
  }
}

class Download {
  #target;
  #options;
  #stop = new AbortController();
  #server;
  /** @type {Entry | undefined} */ #entry;
  /** @type {Filling | undefined} */ #filling;
  /** Ends our lock. @type {(() => void) | undefined} */ #release;
  /** @type {Promise<unknown> | undefined} */ #locked;
  /** Of the bytes so far, where the whole file is not proved yet. @type {Sha256 | undefined} */ #hash;
  /** What goes on without the cache. @type {Reader | undefined} */ #direct;
  #offset = 0;
  /** The chunk of the cache that was checked, and its bytes. */ #checked = -1;
  /** @type {Uint8Array | undefined} */ #buffer;
  /** @type {Uint8Array} */ #bytes = new Uint8Array(0);

  /** @param {Target} target @param {DownloadOptions} options */
  constructor(target, options) {
    this.#target = target;
    this.#options = options;
    options.signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (options.signal?.aborted) this.#onAbort();
    this.#server = this.#newServer();
  }

  #onAbort = () => this.#stop.abort(this.#options.signal?.reason);

  #newServer() {
    const { headers = {}, patience = PATIENCE } = this.#options;
    return new Server(this.#target.url, { headers, patience, signal: this.#stop.signal });
  }

  // ---- Opening

  /** @returns {Promise<Reader>} */
  async open() {
    const { store, headerOnly } = this.#options;
    if (store) {
      this.#entry = await openEntry(store, this.#target.identity);
      if (this.#isUsable()) this.#filling = this.#newFilling();
      else if (!headerOnly) await this.#prepare();
    }
    if (!this.#filling) this.#direct ??= await this.#openDirect();
    return this.#reader();
  }

  #isUsable() {
    const { complete, manifest } = /** @type {Entry} */ (this.#entry);
    const { sha256: expected } = this.#options;
    return complete && (expected === undefined || manifest?.sha256 === expected);
  }

  /** Makes the entry ready to be filled, unless somebody else filled it while we waited. */
  async #prepare() {
    const entry = /** @type {Entry} */ (this.#entry);
    try {
      await this.#lock();
      await entry.open();
      if (this.#isUsable()) {
        this.#filling = this.#newFilling();
        return this.#unlock();
      }
      this.#options.onState?.('download');
      const first = entry.manifest && !entry.complete ? await this.#resume() : await this.#begin();
      this.#hash = await Sha256.create();
      if (!this.#direct) this.#filling = this.#newFilling();
      this.#filling?.start(first);
    } catch (error) {
      if (!this.#isForgiven(error)) throw error;
      await this.#leave();
    }
  }

  /** Nothing of the file is there. @returns {Promise<Stream | undefined>} its beginning */
  async #begin() {
    const { patience = PATIENCE, headers = {} } = this.#options;
    const how = { patience, headers, signal: this.#stop.signal };
    const said = this.#options.sha256 ?? (await this.#target.sha256?.(how));
    const stream = this.#server.stream(0, CHUNK);
    await stream.open();
    const { size, etag, modified } = this.#server.known;
    if (size === undefined) {
      // What has no length can neither be divided nor taken up again.
      await this.#unlock();
      this.#direct = await openDirect(this.#server, { sha256: said, begun: stream });
      return undefined;
    }
    const { url } = this.#target;
    try {
      await this.#entry?.begin({ url, etag, modified, size, sha256: said });
    } catch (error) {
      stream.close();
      throw error;
    }
    return stream;
  }

  /** @returns {Promise<undefined>} */
  async #resume() {
    const entry = /** @type {Entry} */ (this.#entry);
    const manifest = /** @type {import('../cache/manifest.js').Manifest} */ (entry.manifest);
    manifest.sha256 = this.#options.sha256 ?? manifest.sha256;
    const { size, etag, modified } = manifest;
    this.#server.known = { size, etag, modified };
    await entry.resume();
  }

  #newFilling() {
    const entry = /** @type {Entry} */ (this.#entry);
    return new Filling(entry, this.#server, this.#options.parallel ?? PARALLEL);
  }

  /** @param {string} [expected] @param {Sha256} [hash] of the bytes so far */
  #openDirect(expected = this.#options.sha256, hash = undefined) {
    const window = this.#options.headerOnly ? HEADER_WINDOW : undefined;
    return openDirect(this.#server, { from: this.#offset, window, sha256: expected, hash });
  }

  // ---- The lock

  async #lock() {
    const { store, onState } = this.#options;
    const { key } = /** @type {Entry} */ (this.#entry);
    onState?.('wait');
    await new Promise((resolve, reject) => {
      this.#locked = /** @type {Store} */ (store)
        .lock(key, { signal: this.#stop.signal }, () => {
          resolve(undefined);
          return new Promise((release) => (this.#release = () => release(undefined)));
        })
        .catch(reject);
    });
  }

  async #unlock() {
    this.#release?.();
    this.#release = undefined;
    await this.#locked;
  }

  // ---- Reading

  /** @returns {Reader} */
  #reader() {
    const download = this;
    return {
      entire: !this.#options.headerOnly,
      size: this.#filling ? this.#entry?.manifest?.size : this.#direct?.size,
      get phase() {
        return download.#release || download.#direct ? 'download' : 'load';
      },
      get received() {
        return download.#direct ? undefined : download.#filling?.received;
      },
      read: (into) => this.#read(into),
      blame: (error) => this.#blame(error),
      close: () => this.#close(),
    };
  }

  /** @param {() => Uint8Array} into @returns {Promise<number>} */
  async #read(into) {
    try {
      if (this.#direct) return await this.#direct.read(into);
      return await this.#readEntry(into);
    } catch (error) {
      if (this.#direct || !this.#isForgiven(error)) throw await this.explain(error);
      await this.#leave();
      return this.#read(into);
    }
  }

  /** @param {() => Uint8Array} into */
  async #readEntry(into) {
    const entry = /** @type {Entry} */ (this.#entry);
    const size = /** @type {import('../cache/manifest.js').Manifest} */ (entry.manifest).size;
    if (this.#offset >= size) return 0;
    const available = await this.#available();
    const buffer = into();
    const target = buffer.subarray(0, Math.min(available, buffer.length));
    const at = this.#offset % CHUNK;
    if (this.#checked === Math.floor(this.#offset / CHUNK))
      target.set(this.#bytes.subarray(at, at + target.length));
    else await readAll(entry, this.#offset, target);
    this.#hash?.update(target);
    this.#offset += target.length;
    if (this.#offset === size) await this.#complete();
    return target.length;
  }

  /** How many bytes can be read now, once it is not none. @returns {Promise<number>} */
  async #available() {
    const filling = /** @type {Filling} */ (this.#filling);
    const index = Math.floor(this.#offset / CHUNK);
    const at = this.#offset % CHUNK;
    for (;;) {
      if (this.#stop.signal.aborted) throw aborted(this.#stop.signal);
      if (filling.failure) throw filling.failure;
      const state = filling.states[index];
      const ready = filling.filled[index] - at;
      if (state === STATE.kept && (this.#checked === index || (await this.#check(index))))
        return ready;
      if (state === STATE.done || (filling.mayFollow(index) && ready > 0)) return ready;
      if (state === STATE.kept || state === STATE.missing) await this.#fill();
      else await filling.changed();
    }
  }

  /** Whether a chunk that was in the cache before is what it was. @param {number} index */
  async #check(index) {
    const entry = /** @type {Entry} */ (this.#entry);
    this.#buffer ??= new Uint8Array(CHUNK);
    this.#checked = -1;
    const bytes = await entry.readChunk(index, this.#buffer);
    if ((await sha256(bytes)) !== entry.manifest?.hashes[index]) {
      this.#filling?.damaged(index);
      return false;
    }
    this.#bytes = bytes;
    this.#checked = index;
    return true;
  }

  /** Has missing chunks fetched, which for an entry that was complete takes its lock first. */
  async #fill() {
    const entry = /** @type {Entry} */ (this.#entry);
    if (!this.#release) {
      await this.#lock();
      this.#options.onState?.('download');
      const { size } = entry.manifest ?? {};
      await entry.open();
      if (entry.manifest?.size !== size)
        throw new ChangedError(`${this.#target.url} was replaced in the cache`);
      await this.#resume();
      this.#filling?.look();
    }
    this.#filling?.start();
  }

  /** All bytes were read: what is in the cache is whole, or to be thrown away. */
  async #complete() {
    if (!this.#release) return;
    const filling = /** @type {Filling} */ (this.#filling);
    await filling.settled();
    if (filling.failure) throw filling.failure;
    const entry = /** @type {Entry} */ (this.#entry);
    await entry.commit(this.#hash?.digest());
    await this.#unlock();
  }

  // ---- Troubles

  /** Whether the error is the cache's, without which it goes on. @param {unknown} error */
  #isForgiven(error) {
    if (this.#options.strict || this.#stop.signal.aborted) return false;
    return error instanceof QuotaError || error instanceof IoError;
  }

  /** Goes on without the cache, from where the reading is. */
  async #leave() {
    const expected = this.#entry?.manifest?.sha256 ?? this.#options.sha256;
    const { known } = this.#server;
    await this.#endFilling();
    this.#stop = new AbortController();
    if (this.#options.signal?.aborted) this.#onAbort();
    this.#server = this.#newServer();
    this.#server.known = known;
    const whole = this.#offset === 0 || this.#hash !== undefined;
    this.#direct = await this.#openDirect(whole ? expected : undefined, this.#hash);
  }

  /** What is to be told of an error; ends everything. @param {unknown} error */
  async explain(error) {
    await this.#endFilling({ discard: restartIf(error) instanceof Restart });
    return restartIf(error);
  }

  /**
   * Called with an error that the bytes led to: they may be wrong, unless a hash stands for them.
   * @param {unknown} error
   */
  async #blame(error) {
    if (!(error instanceof FormatError || error instanceof TruncatedError)) return error;
    if (this.#options.headerOnly || this.#expectedIsProved()) return error;
    await this.#endFilling();
    const { store } = this.#options;
    const entry = this.#entry;
    if (store && entry) await store.lock(entry.key, {}, () => entry.discard());
    return new Restart(error, 1);
  }

  #expectedIsProved() {
    const { sha256: expected } = this.#options;
    return expected !== undefined && this.#entry?.complete === true;
  }

  /** Ends all requests; what was verified stays. */
  async #endFilling({ discard = false } = {}) {
    this.#filling?.stop();
    this.#stop.abort();
    await this.#filling?.settled();
    const entry = this.#entry;
    try {
      if (discard && this.#release) await entry?.discard();
      else await entry?.close();
    } finally {
      await this.#unlock();
    }
  }

  async #close() {
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    await this.#direct?.close();
    await this.#endFilling();
  }
}

/** @param {Entry} entry @param {number} offset @param {Uint8Array} into */
async function readAll(entry, offset, into) {
  const count = await (await entry.place()).read(offset, into);
  if (count !== into.length)
    throw new IoError(`the cache ends at byte ${offset + count} of ${entry.manifest?.size}`, {
      offset: offset + count,
    });
}
