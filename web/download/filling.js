// Fills the missing chunks of an entry of the cache from a server, over several connections.
import { CHUNK } from '../cache/manifest.js';
import { sha256 } from '../hash.js';
import { ChangedError } from './http.js';

/** @import { Entry } from '../cache/entry.js' */
/** @import { Server, Stream } from './server.js' */

/** A run of chunks that one connection brings. @typedef {{ from: number, to: number }} Run */

/** What is known of a chunk. @enum {number} */
export const STATE = {
  missing: 0,
  /** It comes. */ busy: 1,
  /** It lies in the cache since before, and has to be checked. */ kept: 2,
  /** It was fetched, and its hash is that of what was written. */ done: 3,
};

const RUNS = 64; // into which a large file is divided
const LONGEST_RUN = 16; // chunks
const MOST_HEALINGS = 2; // of one chunk

export class Filling {
  /** @type {Uint8Array} of STATE */ states;
  /** Bytes of each chunk that can be read. @type {number[]} */ filled;
  /** Why the filling ended early. @type {unknown} */ failure;
  #entry;
  #server;
  #parallel;
  #active = 0;
  #opened = false;
  #stopped = false;
  /** @type {(Run | undefined)[]} */ #owners = [];
  /** What is under way. @type {Set<Promise<void>>} */ #tasks = new Set();
  /** @type {Promise<void>} */ #saving = Promise.resolve();
  #savePending = false;
  /** Hashes that damaged chunks must have again. @type {Map<number, string>} */ #expected = new Map();
  /** @type {Map<number, number>} */ #healings = new Map();
  /** @type {(() => void)[]} */ #waiting = [];

  /**
   * @param {Entry} entry
   * @param {Server} server
   * @param {number} parallel connections at once
   */
  constructor(entry, server, parallel) {
    this.#entry = entry;
    this.#server = server;
    this.#parallel = parallel;
    const { length } = this.#manifest.hashes;
    this.states = new Uint8Array(length);
    this.filled = new Array(length).fill(0);
    this.look();
  }

  get #manifest() {
    return /** @type {import('../cache/manifest.js').Manifest} */ (this.#entry.manifest);
  }

  /** Takes over what the manifest says of chunks that nothing is known of. */
  look() {
    this.states.forEach((state, i) => {
      if (state !== STATE.missing || this.#expected.has(i) || !this.#entry.has(i)) return;
      this.states[i] = STATE.kept;
      this.filled[i] = this.#entry.chunkLength(i);
    });
  }

  /** Bytes that are there. */
  get received() {
    return this.filled.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** The chunk must be fetched again, and be what it was. @param {number} index */
  damaged(index) {
    const hash = this.#manifest.hashes[index];
    if (hash) this.#expected.set(index, hash);
    this.states[index] = STATE.missing;
    this.filled[index] = 0;
  }

  /** Whether bytes of the chunk may be used before its end is there. @param {number} index */
  mayFollow(index) {
    return this.states[index] === STATE.busy && !this.#expected.has(index);
  }

  /**
   * Whether the chunk is under way, or will be once a connection has done with others: without
   * ranges the only one brings them all.
   * @param {number} index
   */
  comes(index) {
    const state = this.states[index];
    if (this.#stopped) return false;
    return state === STATE.busy || (state === STATE.missing && this.#active > 0);
  }

  /** Ends when something about the chunks has changed. @returns {Promise<void>} */
  changed() {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  // ---- Fetching

  /**
   * Starts as many connections as there may be; only one until it is known whether the server gives
   * ranges.
   * @param {Stream} [first] that begins at the file's start
   */
  start(first) {
    const most = this.#opened && this.#server.ranges ? this.#parallel : 1;
    while (this.#active < most && !this.#stopped) {
      const run = this.#take();
      if (!run) return;
      this.#active++;
      this.#task(this.#bring(run, first));
    }
  }

  /** @returns {Run | undefined} the first missing chunks */
  #take() {
    const from = this.states.indexOf(STATE.missing);
    if (from < 0) return undefined;
    const { length } = this.states;
    const longest = Math.min(LONGEST_RUN, Math.ceil(length / RUNS));
    const run = { from, to: from };
    while (run.to - from < longest && this.states[run.to] === STATE.missing && run.to < length)
      this.#claim(run.to++, run);
    return run;
  }

  /** @param {number} index @param {Run} run */
  #claim(index, run) {
    this.states[index] = STATE.busy;
    this.filled[index] = 0;
    this.#owners[index] = run;
  }

  /** @param {Run} run @param {Stream} [stream] */
  async #bring(run, stream) {
    stream ??= this.#server.stream(run.from * CHUNK, Math.min(run.to * CHUNK, this.#manifest.size));
    try {
      await stream.open();
      this.#opened = true;
      this.start();
      for (let piece; (piece = await stream.next());)
        await this.#keep(stream.at - piece.length, piece, run);
    } finally {
      stream.close();
      this.#active--;
      this.#giveUp(run);
    }
    this.start();
  }

  /** What a connection began and did not end, behind its run, is for others. @param {Run} run */
  #giveUp(run) {
    this.#owners.forEach((owner, i) => {
      if (owner !== run || this.filled[i] === this.#entry.chunkLength(i)) return;
      this.#owners[i] = undefined;
      this.states[i] = STATE.missing;
      this.filled[i] = 0;
    });
  }

  /** @param {number} offset @param {Uint8Array} piece @param {Run} run */
  async #keep(offset, piece, run) {
    for (let done = 0; done < piece.length;) {
      const index = Math.floor((offset + done) / CHUNK);
      const at = (offset + done) % CHUNK;
      const part = piece.subarray(done, done + CHUNK - at);
      // A server without ranges gives more than was asked for: all that is missing is welcome.
      if (this.states[index] === STATE.missing && at === 0) this.#claim(index, run);
      if (this.#owners[index] === run && this.filled[index] === at) {
        await this.#entry.write(offset + done, part);
        this.filled[index] += part.length;
        if (this.filled[index] === this.#entry.chunkLength(index)) this.#task(this.#prove(index));
        this.#wake();
      }
      done += part.length;
    }
  }

  /** Hashes what lies in the cache now, and notes that the chunk is there. @param {number} index */
  async #prove(index) {
    this.#owners[index] = undefined;
    const bytes = await this.#entry.readChunk(index, new Uint8Array(CHUNK));
    const hash = await sha256(bytes);
    const expected = this.#expected.get(index);
    if (expected !== undefined && hash !== expected) {
      const count = (this.#healings.get(index) ?? 0) + 1;
      this.#healings.set(index, count);
      if (count >= MOST_HEALINGS)
        throw new ChangedError(`${this.#server.url} has other bytes than before`);
      this.states[index] = STATE.missing;
      this.filled[index] = 0;
      return this.start();
    }
    this.#expected.delete(index);
    this.#entry.setChunk(index, hash);
    this.states[index] = STATE.done;
    this.#wake();
    await this.#save();
  }

  /** One saving at a time; those who want one while it runs share the next. */
  #save() {
    if (!this.#savePending) {
      this.#savePending = true;
      this.#saving = this.#saving.then(() => {
        this.#savePending = false;
        return this.#entry.save();
      });
    }
    return this.#saving;
  }

  /** @param {Promise<void>} task */
  #task(task) {
    const watched = task
      .catch((error) => {
        this.failure ??= error;
        this.#stopped = true;
      })
      .finally(() => {
        this.#tasks.delete(watched);
        this.#wake();
      });
    this.#tasks.add(watched);
  }

  /** Ends when nothing is under way any more. */
  async settled() {
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
  }

  /** Starts nothing more. */
  stop() {
    this.#stopped = true;
  }
}
