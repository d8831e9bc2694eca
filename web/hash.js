// SHA-256 of what is downloaded. The browser's own needs all bytes at once and a secure page; bytes
// that come in pieces go through the core's C, in a small module of its own.
import { compileModule } from './variants.js';

const MODULE = () => new URL('../build/wasm/halfbyte-hash.wasm', import.meta.url);
const PAGES = 20; // of 64 KiB: the module's stack and data, and what follows
const STATE = 256; // bytes, more than an hb_sha256 and a digest take
const DIGEST = 32;
const PIECE = 1 << 16; // bytes copied at a time: they stay in the processor's cache

/** @typedef {(...args: number[]) => void} Call */

/** @type {Promise<WebAssembly.Module> | undefined} */
let compiled;

/** SHA-256 of bytes that come in pieces. */
export class Sha256 {
  #memory;
  /** @type {{ [name: string]: Call }} */ #exports;
  #state;
  #input;

  /**
   * Hashes come from `create`.
   * @param {WebAssembly.Memory} memory
   * @param {WebAssembly.Instance} instance
   */
  constructor(memory, instance) {
    this.#memory = memory;
    this.#exports = /** @type {any} */ (instance.exports);
    this.#state = /** @type {any} */ (instance.exports).__heap_base.value;
    this.#input = this.#state + STATE;
    this.reset();
  }

  /** @returns {Promise<Sha256>} */
  static async create() {
    compiled ??= compileModule(MODULE());
    compiled.catch(() => (compiled = undefined)); // the next one tries anew
    const module = await compiled;
    const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES });
    return new Sha256(memory, await WebAssembly.instantiate(module, { env: { memory } }));
  }

  /** Forgets what was taken. */
  reset() {
    this.#exports.hb_sha256_init(this.#state);
    return this;
  }

  /** @param {Uint8Array} bytes */
  update(bytes) {
    const input = new Uint8Array(this.#memory.buffer, this.#input, PIECE);
    for (let done = 0; done < bytes.length; done += PIECE) {
      const piece = bytes.subarray(done, done + PIECE);
      input.set(piece);
      this.#exports.hb_sha256_update(this.#state, this.#input, piece.length);
    }
    return this;
  }

  /** The hash in hexadecimal digits; the next bytes begin another one. */
  digest() {
    this.#exports.hb_sha256_final(this.#state, this.#input);
    const digest = hex(new Uint8Array(this.#memory.buffer, this.#input, DIGEST));
    this.reset();
    return digest;
  }
}

/**
 * SHA-256 of bytes, in hexadecimal digits.
 * @param {Uint8Array} bytes
 * @returns {Promise<string>}
 */
export async function sha256(bytes) {
  const subtle = globalThis.crypto?.subtle;
  // It takes no shared memory.
  if (!subtle || !(bytes.buffer instanceof ArrayBuffer))
    return (await Sha256.create()).update(bytes).digest();
  const digest = await subtle.digest('SHA-256', /** @type {BufferSource} */ (bytes));
  return hex(new Uint8Array(digest));
}

/** @param {string} text @returns {Promise<string>} */
export function sha256Text(text) {
  return sha256(new TextEncoder().encode(text));
}

/** @param {Uint8Array} bytes */
function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
