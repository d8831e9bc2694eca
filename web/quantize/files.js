// The files of a source, so that they can be read anywhere without waiting: in place where they lie
// on this device, from the cache where they are downloaded, and else from a copy that goes with the
// work.
import { openEntry } from '../cache/entry.js';
import { readFully } from '../cache/directory.js';
import { readBlobSync } from '../cache/opfs-place.js';
import { targetOf } from '../download/target.js';
import { headerEnds } from '../file-machine.js';
import { IoError } from '../generated.js';
import { builtin } from '../platform.js';
import { openSource, storeFor } from '../sources.js';
import { TemporaryFiles } from './temporary.js';

/** @import { Pointer } from '../core.js' */
/** @import { FileMachine } from '../file-machine.js' */
/** @import { Progress } from '../progress.js' */
/** @import { DownloadSettings, Pull, Source } from '../sources.js' */
/** @import { SyncFile } from './window.js' */

const PIECE = 1 << 20; // bytes that are fetched at a time

/**
 * @typedef {object} FileHow
 * @property {Pull} pull
 * @property {DownloadSettings} settings
 * @property {Progress} progress
 * @property {string} run the name of this work's temporary files
 */

/** Opens files and closes them again. */
export class Files {
  #machine;
  #how;
  #temporary;
  #index = 0;
  /** @type {(() => Promise<void> | void)[]} */ #ends = [];

  /** @param {FileMachine} machine @param {FileHow} how */
  constructor(machine, how) {
    this.#machine = machine;
    this.#how = how;
    this.#temporary = new TemporaryFiles(how.run, how.settings);
  }

  get temporary() {
    return this.#temporary;
  }

  /** @param {number} count of files, as far as is known */
  expect(count) {
    this.#how.progress.expect(count);
  }

  /**
   * Makes the next file of a model readable, and reads its header.
   * @param {Source} source
   * @param {Pointer} gguf
   * @param {() => void} onHeader is called when the header is complete, before what it describes has
   *   been fetched
   */
  async open(source, gguf, onHeader) {
    const file = await this.#inPlace(source);
    if (file) {
      this.#machine.readHeader(gguf, file);
      onHeader();
    }
    this.#machine.addFile(file ?? (await this.#fetch(source, gguf, onHeader)));
    this.#index++;
  }

  /** Everything is opened anew. */
  async restart() {
    await this.close();
    this.#machine.dropFiles();
    this.#how.progress.restart();
    this.#index = 0;
  }

  async close() {
    for (const end of this.#ends.splice(0)) await end();
    await this.#temporary.close();
  }

  /** @param {Source} source @returns {Promise<SyncFile | undefined>} */
  async #inPlace(source) {
    if (source.kind === 'blob') {
      const { blob, name } = source;
      return named(name, blob.size, (offset, into) => readBlobSync(blob, offset, into));
    }
    return source.kind === 'path' ? this.#openPath(source.path) : undefined;
  }

  /** @param {string} path @returns {SyncFile} */
  #openPath(path) {
    const fs = /** @type {typeof import('node:fs')} */ (builtin('node:fs'));
    try {
      const file = fs.openSync(path, 'r');
      this.#ends.push(() => fs.closeSync(file));
      const { size } = fs.fstatSync(file);
      return named(path, size, (offset, into) => readFully(file, offset, into));
    } catch (cause) {
      const { message } = /** @type {Error} */ (cause);
      throw new IoError(`${path} could not be opened: ${message}`, { cause });
    }
  }

  // ---- What comes in order

  /** @param {Source} source @param {Pointer} gguf @param {() => void} onHeader */
  async #fetch(source, gguf, onHeader) {
    const { settings } = this.#how;
    const { store } = source.kind === 'download' ? await storeFor(true, settings.cache) : {};
    if (source.kind !== 'download' || !store || store.kind === 'memory') {
      const place = await this.#temporary.create();
      let size = 0;
      const write = place.writeSync;
      await this.#pump(source, settings, gguf, onHeader, (bytes) => {
        write(size, bytes);
        size += bytes.length;
      });
      return { size, read: place.readSync };
    }
    // Without the cache the bytes would be gone when they are needed: its troubles are told.
    const strict = { ...settings, cache: settings.cache ?? true };
    await this.#pump(source, strict, gguf, onHeader, () => {});
    const entry = await openEntry(store, targetOf(source.name, settings.hub).identity);
    if (!entry.complete) throw new IoError(`${source.name} was removed from the cache`);
    const place = await entry.place();
    this.#ends.push(() => entry.close());
    const read = /** @type {SyncFile['read']} */ (place.readSync);
    return { size: await place.size(), read };
  }

  /**
   * Reads a source from its start to its end.
   * @param {Source} source
   * @param {DownloadSettings} settings
   * @param {Pointer} gguf
   * @param {() => void} onHeader
   * @param {(bytes: Uint8Array) => void} keep
   */
  async #pump(source, settings, gguf, onHeader, keep) {
    const { pull, progress } = this.#how;
    const reader = await openSource(source, {
      pull,
      settings,
      onState: (phase) => progress.enter(phase),
      onRetry: (until) => progress.wait(until),
    });
    const buffer = new Uint8Array(PIECE);
    const feed = this.#machine.feeder(gguf, reader.size);
    progress.begin(this.#index, reader);
    let size = 0;
    let done = false;
    try {
      for (let count; (count = await reader.read(() => buffer)) > 0; size += count) {
        const bytes = buffer.subarray(0, count);
        if (!done && (done = feed(bytes))) onHeader();
        keep(bytes);
        progress.advance(count, reader);
      }
      if (!done) throw headerEnds(size);
      progress.end();
    } catch (error) {
      throw (await reader.blame?.(error)) ?? error;
    } finally {
      await reader.close();
    }
  }
}

/**
 * A file whose failures are IoErrors.
 * @param {string} name
 * @param {number} size
 * @param {SyncFile['read']} read
 * @returns {SyncFile}
 */
function named(name, size, read) {
  return {
    size,
    read: (offset, into) => {
      try {
        return read(offset, into);
      } catch (cause) {
        const { message } = /** @type {Error} */ (cause);
        throw new IoError(`${name} could not be read at byte ${offset}: ${message}`, {
          cause,
          offset,
        });
      }
    },
  };
}
