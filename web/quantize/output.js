// Where the bytes of a result go from the worker: in chunks to the caller, or into the cache.
import { openEntry } from '../cache/entry.js';
import { CHUNK } from '../cache/manifest.js';
import { Sha256, sha256 } from '../hash.js';

/** @import { Place, Store } from '../cache/store.js' */
/** @import { EmitChunk } from './work.js' */

const PIECE = 1 << 20; // bytes of a chunk
const MOST = 16; // chunks that may wait at the caller's

/** A result as it is written, in chunks that are not shared with any thread. */
export class Output {
  #give;
  #size = 0;
  #chunk = new Uint8Array(PIECE);
  #length = 0;

  /** @param {(chunk: Uint8Array, offset: number) => void} give takes a chunk, which it may not keep */
  constructor(give) {
    this.#give = give;
  }

  /** @param {Uint8Array} bytes */
  write = (bytes) => {
    for (let done = 0; done < bytes.length;) {
      const part = bytes.subarray(done, done + PIECE - this.#length);
      this.#chunk.set(part, this.#length);
      this.#length += part.length;
      done += part.length;
      if (this.#length === PIECE) this.#flush();
    }
  };

  /** @returns {number} bytes in all */
  end() {
    if (this.#length > 0) this.#flush();
    return this.#size;
  }

  #flush() {
    this.#give(this.#chunk.subarray(0, this.#length), this.#size);
    this.#size += this.#length;
    this.#length = 0;
  }
}

/**
 * Hands a result over to the caller.
 * @param {EmitChunk} emit
 * @param {SharedArrayBuffer} [flow] where the caller counts the chunks that it has done with; without
 *   it they wait there in any number
 */
export function handOver(emit, flow) {
  const counted = flow && new Int32Array(flow);
  let sent = 0;
  return new Output((bytes) => {
    const chunk = bytes.slice();
    emit({ chunk }, [chunk.buffer]);
    sent++;
    if (!counted) return;
    for (let taken; sent - (taken = Atomics.load(counted, 0)) >= MOST;)
      Atomics.wait(counted, 0, taken);
  });
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
