// Reads an entry of the cache from its start to its end while it fills, and gives nothing that has
// not been checked since it was kept.
import { CHUNK } from '../cache/manifest.js';
import { IoError } from '../generated.js';
import { sha256 } from '../hash.js';
import { STATE } from './filling.js';
import { aborted } from './retry.js';

/** @import { Entry } from '../cache/entry.js' */
/** @import { Filling } from './filling.js' */

export class Chunks {
  #entry;
  #filling;
  #fill;
  #signal;
  /** The chunk from before that was checked last, and its bytes. */ #checked = -1;
  /** @type {Uint8Array} */ #bytes = new Uint8Array(0);
  /** @type {Uint8Array | undefined} */ #buffer;

  /**
   * @param {Entry} entry
   * @param {Filling} filling
   * @param {() => Promise<void>} fill has missing chunks fetched
   * @param {AbortSignal} signal
   */
  constructor(entry, filling, fill, signal) {
    this.#entry = entry;
    this.#filling = filling;
    this.#fill = fill;
    this.#signal = signal;
  }

  /** How many bytes from there on can be read, once it is not none. @param {number} offset @returns {Promise<number>} */
  async available(offset) {
    const filling = this.#filling;
    const index = Math.floor(offset / CHUNK);
    for (;;) {
      if (this.#signal.aborted) throw aborted(this.#signal);
      if (filling.failure) throw filling.failure;
      const state = filling.states[index];
      const ready = filling.filled[index] - (offset % CHUNK);
      if (state === STATE.kept && (this.#checked === index || (await this.#check(index))))
        return ready;
      if (state === STATE.done || (filling.mayFollow(index) && ready > 0)) return ready;
      if (state !== STATE.busy) await this.#fill();
      if (filling.comes(index)) await filling.changed();
    }
  }

  /** Whether a chunk that was in the cache before is what it was. @param {number} index */
  async #check(index) {
    this.#buffer ??= new Uint8Array(CHUNK);
    this.#checked = -1;
    const bytes = await this.#entry.readChunk(index, this.#buffer);
    if ((await sha256(bytes)) !== this.#entry.manifest?.hashes[index]) {
      this.#filling.damaged(index);
      return false;
    }
    this.#bytes = bytes;
    this.#checked = index;
    return true;
  }

  /** @param {number} offset @param {Uint8Array} into at most as long as what is available */
  async read(offset, into) {
    const at = offset % CHUNK;
    if (this.#checked === Math.floor(offset / CHUNK))
      return into.set(this.#bytes.subarray(at, at + into.length));
    const count = await (await this.#entry.place()).read(offset, into);
    if (count === into.length) return;
    const size = this.#entry.manifest?.size;
    throw new IoError(`the cache ends at byte ${offset + count} of ${size}`, {
      offset: offset + count,
    });
  }
}
