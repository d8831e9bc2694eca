// Opens a file of a server for reading, through the cache: what lies there is read from there, the
// rest is fetched, kept and handed on at the same time.
import { keyOf, openEntry } from '../cache/entry.js';
import { CHUNK } from '../cache/manifest.js';
import { QuotaError } from '../error.js';
import { FormatError, IoError, TruncatedError } from '../generated.js';
import { Sha256 } from '../hash.js';
import { Chunks } from './chunks.js';
import { openDirect, restartIf } from './direct.js';
import { Filling } from './filling.js';
import { Hold } from './hold.js';
import { ChangedError } from './http.js';
import { Restart } from './restart.js';
import { PATIENCE } from './retry.js';
import { Server } from './server.js';
import { targetOf } from './target.js';

/** @import { Entry } from '../cache/entry.js' */
/** @import { Store } from '../cache/store.js' */
/** @import { Reader } from '../sources.js' */
/** @import { DownloadOptions } from './settings.js' */
/** @import { Stream } from './server.js' */
/** @import { Target } from './target.js' */

const PARALLEL = 3; // connections: enough to fill a line, few enough for one server
const HEADER_WINDOW = 1 << 20;

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
  /** @type {Chunks | undefined} */ #chunks;
  /** The entry's lock. @type {Hold | undefined} */ #hold;
  /** Of the bytes so far, where the whole file is not proved yet. @type {Sha256 | undefined} */ #hash;
  /** What goes on without the cache. @type {Reader | undefined} */ #direct;
  #offset = 0;
  /** @type {Promise<void> | undefined} */ #noted;
  /** Why nothing is kept, where it was to be. @type {string | undefined} */ #notKept;

  /** @param {Target} target @param {DownloadOptions} options */
  constructor(target, options) {
    this.#target = target;
    this.#options = options;
    this.#notKept = options.notKept;
    options.signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (options.signal?.aborted) this.#onAbort();
    this.#server = this.#newServer();
  }

  #onAbort = () => this.#stop.abort(this.#options.signal?.reason);

  #newServer() {
    const { headers = {}, patience = PATIENCE, onRetry } = this.#options;
    return new Server(this.#target.url, { headers, patience, signal: this.#stop.signal, onRetry });
  }

  // ---- Opening

  /** @returns {Promise<Reader>} */
  async open() {
    const { store, headerOnly } = this.#options;
    if (store) {
      await this.#look(store);
      if (this.#isUsable()) {
        await this.#hold?.release();
        this.#newFilling();
        if (!headerOnly) this.#noted = this.#noteUse(store);
      } else if (!headerOnly) await this.#prepare();
    }
    if (!this.#filling) this.#direct ??= await this.#openDirect();
    return this.#reader();
  }

  /** Opens the entry: under its lock, if another tab just replaces its files. @param {Store} store */
  async #look(store) {
    const { identity } = this.#target;
    this.#hold = new Hold(store, await keyOf(identity));
    try {
      this.#entry = await openEntry(store, identity);
    } catch {
      await this.#lock();
      this.#entry = await openEntry(store, identity);
    }
  }

  /**
   * Notes when a complete entry is used, unless somebody writes to it or nothing can be written.
   * @param {Store} store
   */
  async #noteUse(store) {
    const { identity } = this.#target;
    try {
      await store.lock(await keyOf(identity), { wait: false }, async () => {
        const entry = await openEntry(store, identity);
        if (entry.complete) await entry.touch();
      });
    } catch {
      // The bytes are there, which is all that matters to a load.
    }
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
        this.#newFilling();
        return this.#hold?.release();
      }
      this.#options.onState?.('download');
      const first = entry.manifest && !entry.complete ? await this.#resume() : await this.#begin();
      this.#hash = await Sha256.create();
      if (!this.#direct) this.#newFilling();
      this.#filling?.start(first);
    } catch (error) {
      if (!this.#isForgiven(error)) throw error;
      await this.#leave(error);
    }
  }

  /** Nothing of the file is there. @returns {Promise<Stream | undefined>} its beginning */
  async #begin() {
    const { patience = PATIENCE, headers = {} } = this.#options;
    const how = { patience, headers, signal: this.#stop.signal, onRetry: this.#options.onRetry };
    const said = this.#options.sha256 ?? (await this.#target.entry?.(how))?.sha256;
    const stream = this.#server.stream(0, CHUNK);
    await stream.open();
    const { size, etag, modified } = this.#server.known;
    if (size === undefined) {
      // What has no length can neither be divided nor taken up again.
      await this.#hold?.release();
      this.#notKept = `${this.#target.url} does not tell how long it is`;
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

  async #lock() {
    if (this.#hold?.held) return;
    this.#options.onState?.('wait');
    await this.#hold?.take(this.#stop.signal);
  }

  #newFilling() {
    const entry = /** @type {Entry} */ (this.#entry);
    this.#filling = new Filling(entry, this.#server, this.#options.parallel ?? PARALLEL);
    this.#chunks = new Chunks(entry, this.#filling, () => this.#fill(), this.#stop.signal);
  }

  /** @param {string} [expected] @param {Sha256} [hash] of the bytes so far */
  #openDirect(expected = this.#options.sha256, hash = undefined) {
    const window = this.#options.headerOnly ? HEADER_WINDOW : undefined;
    return openDirect(this.#server, { from: this.#offset, window, sha256: expected, hash });
  }

  // ---- Reading

  /** @returns {Reader} */
  #reader() {
    const download = this;
    return {
      entire: !this.#options.headerOnly,
      size: this.#filling ? this.#entry?.manifest?.size : this.#direct?.size,
      get phase() {
        return download.#hold?.held || download.#direct ? 'download' : 'load';
      },
      get received() {
        return download.#direct ? undefined : download.#filling?.received;
      },
      get notKept() {
        return download.#notKept;
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
      await this.#leave(error);
      return this.#read(into);
    }
  }

  /** @param {() => Uint8Array} into */
  async #readEntry(into) {
    const entry = /** @type {Entry} */ (this.#entry);
    const size = /** @type {import('../cache/manifest.js').Manifest} */ (entry.manifest).size;
    if (this.#offset >= size) return 0;
    const chunks = /** @type {Chunks} */ (this.#chunks);
    const available = await chunks.available(this.#offset);
    const buffer = into();
    const target = buffer.subarray(0, Math.min(available, buffer.length));
    await chunks.read(this.#offset, target);
    this.#hash?.update(target);
    this.#offset += target.length;
    if (this.#offset === size) await this.#complete();
    return target.length;
  }

  /** Has missing chunks fetched, which for an entry that was complete takes its lock first. */
  async #fill() {
    const entry = /** @type {Entry} */ (this.#entry);
    if (!this.#hold?.held) {
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
    if (!this.#hold?.held) return;
    const filling = /** @type {Filling} */ (this.#filling);
    await filling.settled();
    if (filling.failure) throw filling.failure;
    const entry = /** @type {Entry} */ (this.#entry);
    await entry.commit(this.#hash?.digest());
    await this.#hold?.release();
  }

  // ---- Troubles

  /** Whether the error is the cache's, without which it goes on. @param {unknown} error */
  #isForgiven(error) {
    if (this.#options.strict || this.#stop.signal.aborted) return false;
    return error instanceof QuotaError || error instanceof IoError;
  }

  /** Goes on without the cache, from where the reading is. @param {unknown} error */
  async #leave(error) {
    this.#notKept = /** @type {Error} */ (error).message;
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
      if (discard && this.#hold?.held) await entry?.discard();
      else await entry?.close();
    } finally {
      await this.#hold?.release();
    }
  }

  async #close() {
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    await this.#direct?.close();
    await this.#noted;
    await this.#endFilling();
  }
}
