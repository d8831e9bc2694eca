// Files that are read in any order without waiting, and a window through which many small reads
// become few.

/**
 * @typedef {object} SyncFile
 * @property {number} size
 * @property {(offset: number, into: Uint8Array) => number} read fills the buffer as far as the file
 *   goes and gives the number of bytes
 */

const LENGTH = 1 << 20; // bytes: a read through a browser takes some 0.1 ms, however short it is

export class Window {
  #file;
  #bytes = new Uint8Array(LENGTH);
  #start = 0;
  #length = 0;

  /** @param {SyncFile} file */
  constructor(file) {
    this.#file = file;
  }

  /** @param {number} offset @param {Uint8Array} into @returns {number} */
  read(offset, into) {
    for (let done = 0; done < into.length;) {
      const at = offset + done - this.#start;
      if (at < 0 || at >= this.#length) {
        this.#start = offset + done;
        this.#length = this.#file.read(this.#start, this.#bytes);
        if (this.#length === 0) return done;
        continue;
      }
      const end = Math.min(this.#length, at + into.length - done);
      into.set(this.#bytes.subarray(at, end), done);
      done += end - at;
    }
    return into.length;
  }
}
