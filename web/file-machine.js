// A module that asks for the bytes of its files, and hands on those of a result, without waiting. It
// is fetched when it is needed.
import { TruncatedError } from './generated.js';
import { Window } from './quantize/window.js';
import { capabilities, instantiate, startCrew, unavailable } from './variants.js';

/** @import { Core, Pointer } from './core.js' */
/** @import { SyncFile } from './quantize/window.js' */
/** @import { Crew } from './variants.js' */

const FEED = 1 << 16; // bytes of a header that enter the module at a time

/**
 * What the module tells while it works. What this throws ends the work.
 * @typedef {object} Writer
 * @property {(bytes: Uint8Array) => void} write takes bytes of the result, which do not stay
 */

export class FileMachine {
  /** @type {Core} */ core = /** @type {any} */ (undefined); // until it is instantiated
  /** The hb_parallel, or 0. @type {Pointer} */ parallel = 0;
  threads = 1;
  /** @type {string | undefined} */ threadsReason;
  /** Whom the module talks to. @type {Writer | undefined} */ listener;
  /** What a callback threw. @type {unknown} */ #failure;
  /** By the numbers that the module gives them. @type {Window[]} */ #files = [];

  /**
   * To be called once.
   * @param {URL} module
   * @param {number | undefined} threads
   * @param {(crew: Crew) => Promise<void>} startThreads
   */
  async start(module, threads, startThreads) {
    const can = capabilities();
    if (!can.simd.available) throw unavailable(can.simd);
    // Its memory could be shared even where no thread can be given it.
    const instance = await instantiate(module, true, this.functions());
    this.core = instance.core;
    const count = threads ?? can.threads.count;
    if (count === 1) return;
    this.threadsReason = can.threads.reason;
    if (!can.threads.available) return;
    try {
      this.parallel = await startCrew(instance, { count, leastWork: 0 }, startThreads);
      this.threads = count;
    } catch (error) {
      this.threadsReason = /** @type {Error} */ (error).message;
    }
  }

  /** What the module may call. @returns {Record<string, Function>} */
  functions() {
    const view = (/** @type {Pointer} */ at, /** @type {number} */ count) =>
      this.core.bytes.subarray(at >>> 0, (at >>> 0) + count);
    return {
      read: this.guarded(-1, (file, offset, at, count) =>
        this.#files[file].read(offset, view(at, count)),
      ),
      write: this.guarded(-1, (at, count) => {
        this.listener?.write(view(at, count));
        return 0;
      }),
    };
  }

  /**
   * A function for the module, which hears `failed` when it threw, and from then on.
   * @template T
   * @param {T} failed
   * @param {(...args: any[]) => T} body
   */
  guarded(failed, body) {
    return (/** @type {any[]} */ ...args) => {
      if (this.#failure !== undefined) return failed;
      try {
        return body(...args);
      } catch (error) {
        this.#failure = error;
        return failed;
      }
    };
  }

  dropFiles() {
    this.#files = [];
  }

  /** Takes the next file. @param {SyncFile} file */
  addFile(file) {
    this.#files.push(new Window(file));
  }

  /**
   * Calls a function that may call back.
   * @param {string} name
   * @param {...(number | bigint)} args
   */
  check(name, ...args) {
    this.#calling(() => this.core.check(name, ...args));
  }

  /**
   * The same of one that puts a pointer where its last parameter but one says.
   * @param {string} name
   * @param {...(number | bigint)} args
   * @returns {Pointer}
   */
  result(name, ...args) {
    return this.#calling(() => this.core.result(name, ...args));
  }

  /** @template T @param {() => T} body @returns {T} */
  #calling(body) {
    try {
      const value = body();
      if (this.#failure === undefined) return value;
    } catch (error) {
      throw this.#failure ?? error;
    }
    throw this.#failure;
  }

  // ---- Headers

  /** @returns {Pointer} an hb_gguf */
  createHeader() {
    return this.core.result('hb_gguf_create', this.core.call('hb_wasm_allocator'));
  }

  /**
   * What takes the header of the next file of a model as its bytes come.
   * @param {Pointer} gguf
   * @param {number | undefined} size of the file, if it is known
   * @returns {(bytes: Uint8Array) => boolean} whether the header is complete
   */
  feeder(gguf, size) {
    const { core } = this;
    core.check('hb_gguf_begin_shard', gguf, BigInt.asUintN(64, BigInt(size ?? -1)));
    let done = false;
    return (bytes) => {
      for (let at = 0; !done && at < bytes.length; at += FEED) {
        const piece = bytes.subarray(at, at + FEED);
        done = core.scope((allocate) => {
          const [put, said] = [allocate(FEED), allocate(8)];
          core.bytes.set(piece, put);
          core.bytes.fill(0, said, said + 8);
          core.check('hb_gguf_feed', gguf, put, piece.length, said, said + 4);
          return core.bytes[said + 4] !== 0;
        });
      }
      return done;
    };
  }

  /**
   * Reads a header from a file that can be read anywhere.
   * @param {Pointer} gguf
   * @param {SyncFile} file
   */
  readHeader(gguf, file) {
    const feed = this.feeder(gguf, file.size);
    const piece = new Uint8Array(FEED);
    for (let offset = 0, count = -1; ; offset += count) {
      count = file.read(offset, piece);
      if (count === 0) throw headerEnds(offset);
      if (feed(piece.subarray(0, count))) return;
    }
  }
}

/** @param {number} offset */
export function headerEnds(offset) {
  return new TruncatedError('the file ends inside its header', { offset });
}
