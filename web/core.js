// The C interface in JavaScript, one to one: structs, strings, statuses as exceptions. Every layout
// comes from the module itself (hb_wasm_layouts), every number from generated.js.
import { EngineError, HalfbyteError } from './error.js';
import { OutOfMemoryError, STATUS_CLASSES } from './generated.js';

/** @typedef {number} Pointer an address in linear memory; 0 is none */
/** @typedef {{ size: number, fields: Map<string, { type: string, offset: number }> }} Layout */

const LAYOUT_CAPACITY = 8192;
const SHORT_TEXT = 32; // bytes

const decoder = new TextDecoder();
const encoder = new TextEncoder();

export class Core {
  /** @type {Uint8Array} */ #bytes;
  /** @type {DataView} */ #view;
  /** @type {Map<string, Layout>} */ #layouts = new Map();
  /** @type {Pointer} */ #error;
  /** @type {Pointer} */ #result; // for functions that hand out a pointer or a count
  #dead = false;

  /**
   * @param {WebAssembly.Instance} instance
   * @param {WebAssembly.Memory} memory
   */
  constructor(instance, memory) {
    this.exports = /** @type {Record<string, Function>} */ (
      /** @type {unknown} */ (instance.exports)
    );
    this.memory = memory;
    this.#bytes = new Uint8Array(memory.buffer);
    this.#view = new DataView(memory.buffer);
    const at = this.allocate(LAYOUT_CAPACITY);
    const length = this.call('hb_wasm_layouts', at, LAYOUT_CAPACITY);
    if (length >= LAYOUT_CAPACITY) throw new EngineError('the layout table outgrew its buffer');
    for (const [struct, name, type, offset] of JSON.parse(this.text(at, length))) {
      if (name) this.#layout(struct).fields.set(name, { type, offset });
      else this.#layouts.set(struct, { size: offset, fields: new Map() });
    }
    this.release(at, LAYOUT_CAPACITY);
    this.#error = this.allocate(this.sizeOf('hb_error'));
    this.#result = this.allocate(8);
  }

  /** Whether a trap has made the instance unusable. */
  get dead() {
    return this.#dead;
  }

  // ---- Memory. Views are made anew after the memory grew.

  /** The whole memory as bytes; not to be kept over a call. */
  get bytes() {
    if (this.#bytes.buffer !== this.memory.buffer) this.#bytes = new Uint8Array(this.memory.buffer);
    return this.#bytes;
  }

  get #data() {
    if (this.#view.buffer !== this.memory.buffer) this.#view = new DataView(this.memory.buffer);
    return this.#view;
  }

  /** @param {number} size @returns {Pointer} */
  allocate(size) {
    const at = this.call('hb_wasm_allocate', size) >>> 0;
    if (at === 0)
      throw new OutOfMemoryError(`${size} bytes of WebAssembly memory could not be had`);
    return at;
  }

  /** @param {Pointer} at @param {number} size */
  release(at, size) {
    this.call('hb_wasm_release', at, size);
  }

  /**
   * Runs `body` with a function that allocates memory for as long as it runs.
   * @template T
   * @param {(allocate: (size: number) => Pointer) => T} body
   * @returns {T}
   */
  scope(body) {
    /** @type {[Pointer, number][]} */
    const blocks = [];
    try {
      return body((size) => {
        const at = this.allocate(size);
        blocks.push([at, size]);
        return at;
      });
    } finally {
      if (!this.#dead) for (const [at, size] of blocks.reverse()) this.release(at, size);
    }
  }

  // ---- Values

  /** @param {Pointer} at @param {number} length */
  text(at, length) {
    const bytes = this.#range(at, length);
    // A copy: browsers do not decode shared memory.
    return (length <= SHORT_TEXT ? ascii(bytes) : undefined) ?? decoder.decode(bytes.slice());
  }

  /** A NUL-terminated string. @param {Pointer} at @param {number} [limit] */
  cstring(at, limit = 4096) {
    at >>>= 0;
    const end = this.bytes.indexOf(0, at);
    return this.text(at, Math.min(limit, (end < 0 ? this.bytes.length : end) - at));
  }

  /** Bytes at an address from the module, checked. @param {Pointer} at @param {number} length */
  #range(at, length) {
    at >>>= 0;
    length >>>= 0;
    if (at + length > this.bytes.length) throw this.#fail('an address lies outside of memory');
    return this.bytes.subarray(at, at + length);
  }

  /** @param {Pointer} at @param {number} count @returns {Float32Array} a copy */
  floats(at, count) {
    const bytes = this.#range(at, count * 4);
    return new Float32Array(bytes.buffer, bytes.byteOffset, count).slice();
  }

  /** @param {Pointer} at @param {number} count @returns {number[]} */
  tokens(at, count) {
    const bytes = this.#range(at, count * 4);
    return Array.from(new Int32Array(bytes.buffer, bytes.byteOffset, count));
  }

  /** Copies tokens into memory. @param {Pointer} at @param {ArrayLike<number>} tokens */
  putTokens(at, tokens) {
    const bytes = this.#range(at, tokens.length * 4);
    new Int32Array(bytes.buffer, bytes.byteOffset, tokens.length).set(tokens);
  }

  /**
   * Text as UTF-8 in memory that `allocate` gives.
   * @param {(size: number) => Pointer} allocate
   * @param {string} text
   */
  putText(allocate, text) {
    const bytes = encoder.encode(text);
    const at = allocate(bytes.length);
    this.#range(at, bytes.length).set(bytes);
    return { data: at, length: bytes.length };
  }

  // ---- Structs

  /** @param {string} struct */
  #layout(struct) {
    const layout = this.#layouts.get(struct);
    if (!layout) throw new EngineError(`the module knows no ${struct}`);
    return layout;
  }

  /** @param {string} struct */
  sizeOf(struct) {
    return this.#layout(struct).size;
  }

  /**
   * A struct as an object.
   * @param {string} struct
   * @param {Pointer} at
   * @returns {any}
   */
  read(struct, at) {
    at >>>= 0;
    /** @type {Record<string, unknown>} */
    const object = {};
    for (const [name, { type, offset }] of this.#layout(struct).fields)
      object[name] = this.#readField(type, at + offset);
    return object;
  }

  /** @param {string} type @param {Pointer} at @returns {unknown} */
  #readField(type, at) {
    const data = this.#data;
    switch (type) {
      case 'u8':
        return data.getUint8(at);
      case 'i32':
        return data.getInt32(at, true);
      case 'u32':
      case 'pointer':
        return data.getUint32(at, true);
      case 'u64':
        return Number(data.getBigUint64(at, true));
      case 'u64[4]':
        return [0, 8, 16, 24].map((i) => Number(data.getBigUint64(at + i, true)));
      case 'f32':
        return data.getFloat32(at, true);
      case 'chars':
        return this.cstring(at, 256);
      case 'hb_string':
        return this.string(at);
      default:
        return this.read(type, at);
    }
  }

  /** An hb_string. @param {Pointer} at */
  string(at) {
    const { fields } = this.#layout('hb_string');
    const word = (/** @type {string} */ name) =>
      this.#data.getUint32(at + (fields.get(name)?.offset ?? 0), true);
    return this.text(word('data'), word('length'));
  }

  /**
   * Fills a struct: the named fields with these values, everything else with zeros.
   * @param {string} struct
   * @param {Pointer} at
   * @param {Record<string, any>} values
   */
  write(struct, at, values) {
    const { size, fields } = this.#layout(struct);
    this.#range(at, size).fill(0);
    for (const [name, value] of Object.entries(values)) {
      const field = fields.get(name);
      if (!field) throw new EngineError(`${struct} has no field ${name}`);
      this.#writeField(field.type, at + field.offset, value);
    }
  }

  /**
   * Structs as an array in memory that `allocate` gives.
   * @param {(size: number) => Pointer} allocate
   * @param {string} struct
   * @param {Record<string, any>[]} values
   * @returns {Pointer}
   */
  putStructs(allocate, struct, values) {
    const size = this.sizeOf(struct);
    const at = allocate(size * values.length);
    values.forEach((value, i) => this.write(struct, at + i * size, value));
    return at;
  }

  /** @param {string} type @param {Pointer} at @param {any} value */
  #writeField(type, at, value) {
    const data = this.#data;
    switch (type) {
      case 'i32':
        return data.setInt32(at, value, true);
      case 'u32':
      case 'pointer':
        return data.setUint32(at, value, true);
      case 'u64':
        return data.setBigUint64(at, BigInt(value), true);
      case 'f32':
        return data.setFloat32(at, value, true);
      default:
        return this.write(type, at, value);
    }
  }

  // ---- Calls

  /**
   * Calls an exported function. A trap leaves the memory in an unknown state: nothing may be called
   * after it.
   * @param {string} name
   * @param {...(number | bigint)} args
   * @returns {number}
   */
  call(name, ...args) {
    if (this.#dead) throw new EngineError('the engine broke down earlier');
    try {
      return this.exports[name](...args);
    } catch (cause) {
      throw this.#fail(`${name}: ${/** @type {Error} */ (cause)?.message ?? cause}`, cause);
    }
  }

  /** @param {string} message @param {unknown} [cause] */
  #fail(message, cause) {
    this.#dead = true;
    return new EngineError(`the engine broke down: ${message}`, { cause });
  }

  /**
   * Calls a function whose last parameter is an hb_error and whose result is a status.
   * @param {string} name
   * @param {...(number | bigint)} args
   */
  check(name, ...args) {
    const status = this.call(name, ...args, this.#error);
    if (status !== 0) throw this.#statusError(status);
  }

  /** @param {number} status */
  #statusError(status) {
    const { offset, message } = this.read('hb_error', this.#error);
    const Class =
      /** @type {Record<number, typeof HalfbyteError>} */ (STATUS_CLASSES)[status] ?? EngineError;
    // HB_NO_OFFSET and any other number that JavaScript cannot hold is no place in a file.
    return new Class(message, { offset: Number.isSafeInteger(offset) ? offset : undefined });
  }

  /**
   * Calls a function that puts a pointer or a size where its last parameter but one says.
   * @param {string} name
   * @param {...(number | bigint)} args
   * @returns {number}
   */
  result(name, ...args) {
    this.check(name, ...args, this.#result);
    return this.#data.getUint32(this.#result, true);
  }

  /** The same for a result of 64 bits. @param {string} name @param {...(number | bigint)} args */
  result64(name, ...args) {
    this.check(name, ...args, this.#result);
    return this.#data.getBigUint64(this.#result, true);
  }

  /** The same for a double. @param {string} name @param {...(number | bigint)} args */
  resultF64(name, ...args) {
    this.check(name, ...args, this.#result);
    return this.#data.getFloat64(this.#result, true);
  }

  /** The same for an hb_string. @param {string} name @param {...(number | bigint)} args */
  resultString(name, ...args) {
    this.check(name, ...args, this.#result);
    return this.string(this.#result);
  }
}

/**
 * Decodes what a token mostly is. A step through a model leaves the caches without the code of a
 * TextDecoder, which then takes ten times as long as this.
 * @param {Uint8Array} bytes
 * @returns {string | undefined} none if there is more than ASCII
 */
function ascii(bytes) {
  let text = '';
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] >= 0x80) return undefined;
    text += String.fromCharCode(bytes[i]);
  }
  return text;
}
