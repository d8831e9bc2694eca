// Where the bytes of a result go from the worker: in chunks to the caller, or into the cache.
import { openEntry } from '../cache/entry.js';
import { CHUNK } from '../cache/manifest.js';
import { Sha256, sha256 } from '../hash.js';

/** @import { Place, Store } from '../cache/store.js' */
/** @import { EmitChunk } from './work.js' */

const PIECE = 1 << 20; // bytes of a chunk
const MOST = 16; // chunks that may wait at the caller's

/** Hands the result over in chunks. */
export class ChunkOutput {
  #emit;
  #taken;
  #sent = 0;
  #size = 0;
  #chunk = new Uint8Array(PIECE);
  #length = 0;

  /**
   * @param {EmitChunk} emit
   * @param {SharedArrayBuffer} [flow] where the caller counts the chunks that it has done with; without
   *   it they wait there in any number
   */
  constructor(emit, flow) {
    this.#emit = emit;
    this.#taken = flow && new Int32Array(flow);
  }

  /** @param {Uint8Array} bytes */
  write = (bytes) => {
    for (let done = 0; done < bytes.length;) {
      const part = bytes.subarray(done, done + PIECE - this.#length);
      this.#chunk.set(part, this.#length);
      this.#length += part.length;
      done += part.length;
      if (this.#length === PIECE) this.#send();
    }
  };

  /** @returns {number} bytes in all */
  end() {
    if (this.#length > 0) this.#send();
    return this.#size;
  }

  #send() {
    const chunk = this.#chunk.slice(0, this.#length);
    this.#size += chunk.length;
    this.#length = 0;
    this.#emit({ chunk }, [chunk.buffer]);
    this.#sent++;
    if (!this.#taken) return;
    for (let taken; this.#sent - (taken = Atomics.load(this.#taken, 0)) >= MOST;)
      Atomics.wait(this.#taken, 0, taken);
  }
}

/**
 * Makes a file that was just written an entry of the cache, whose lock is held.
 * @param {Store} store
 * @param {{ identity: string, url: string }} keep
 * @param {Place & { name: string }} place
 * @param {number} size
 */
export async function keepResult(store, { identity, url }, place, size) {
  const whole = await Sha256.create();
  const buffer = new Uint8Array(CHUNK);
  /** @type {string[]} */
  const hashes = [];
  for (let offset = 0; offset < size; offset += CHUNK) {
    const bytes = buffer.subarray(0, Math.min(CHUNK, size - offset));
    await place.read(offset, bytes);
    whole.update(bytes);
    hashes.push(await sha256(bytes));
  }
  await place.flush();
  await place.close();
  const entry = await openEntry(store, identity);
  await entry.adopt({ name: place.name, url, size, hashes, sha256: whole.digest() });
}
