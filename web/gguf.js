// The header of a GGUF file as plain objects.
import { VALUE } from './generated.js';

/** @import { Core, Pointer } from './core.js' */

const SHOWN_ELEMENTS = 16; // of an array

/**
 * A tensor as the file's header describes it.
 * @typedef {object} TensorInfo
 * @property {string} name
 * @property {string} type of its values
 * @property {number[]} dims the first runs fastest; of types of halfbyte's own, the bytes of a row
 * @property {number} bytes
 */

/** @typedef {string | number | bigint | boolean} Scalar */
/**
 * A value of a file's metadata; of an array, how long it is and how it begins.
 * @typedef {Scalar | { count: number, first: Scalar[] }} MetadataValue
 */

/** @param {Core} core @param {Pointer} model */
export function describeGguf(core, model) {
  const gguf = core.call('hb_model_gguf', model);
  return {
    metadata: readMetadata(core, gguf),
    tensors: readTensors(core, model, gguf),
    specialTokens: {
      bos: tokenText(core, gguf, 'tokenizer.ggml.bos_token_id'),
      eos: tokenText(core, gguf, 'tokenizer.ggml.eos_token_id'),
      unknown: tokenText(core, gguf, 'tokenizer.ggml.unknown_token_id'),
    },
  };
}

/**
 * The text of the token whose number a key has.
 * @param {Core} core
 * @param {Pointer} gguf
 * @param {string} key
 * @returns {string | undefined}
 */
function tokenText(core, gguf, key) {
  const number = findValue(core, gguf, key);
  const tokens = findValue(core, gguf, 'tokenizer.ggml.tokens')?.record;
  if (number?.record.type !== VALUE.U32 || tokens?.element !== VALUE.STRING) return undefined;
  const wanted = Number(readElement(core, number.at, number.record, 0));
  if (wanted >= tokens.count) return undefined;
  const view = new DataView(core.bytes.buffer, core.bytes.byteOffset);
  const lengthAt = (/** @type {number} */ place) => view.getUint32(place, true); // of 8 bytes
  let at = tokens.data >>> 0;
  for (let i = 0; i < wanted; i++) at += 8 + lengthAt(at);
  return core.text(at + 8, lengthAt(at));
}

/**
 * A value of the metadata by its key.
 * @param {Core} core
 * @param {Pointer} gguf
 * @param {string} key
 */
export function findValue(core, gguf, key) {
  const at = core.scope((allocate) =>
    core.call('hb_gguf_value', gguf, core.putText(allocate, `${key}\0`).data),
  );
  return at ? { at, record: core.read('hb_value', at) } : undefined;
}

/**
 * A text of the metadata.
 * @param {Core} core
 * @param {Pointer} gguf
 * @param {string} key
 * @returns {string | undefined}
 */
export function textValue(core, gguf, key) {
  const found = findValue(core, gguf, key);
  return found && core.resultString('hb_value_string', found.at);
}

/** @param {Core} core @param {Pointer} model @param {Pointer} gguf @returns {TensorInfo[]} */
function readTensors(core, model, gguf) {
  const tensors = [];
  const count = core.call('hb_gguf_tensor_count', gguf);
  for (let i = 0; i < count; i++) {
    const at = core.call('hb_gguf_tensor_at', gguf, i);
    const record = core.read('hb_tensor', at);
    tensors.push({
      name: record.name,
      type: core.cstring(core.call('hb_type_name', core.call('hb_model_tensor_type', model, at))),
      dims: record.dims.slice(0, record.dim_count),
      bytes: record.bytes,
    });
  }
  return tensors;
}

/** @param {Core} core @param {Pointer} gguf @returns {Record<string, MetadataValue>} */
function readMetadata(core, gguf) {
  /** @type {Record<string, MetadataValue>} */
  const metadata = Object.create(null);
  const count = core.call('hb_gguf_value_count', gguf);
  for (let i = 0; i < count; i++) {
    const at = core.call('hb_gguf_value_at', gguf, i);
    const record = core.read('hb_value', at);
    if (record.type !== VALUE.ARRAY) {
      metadata[record.key] = readElement(core, at, record, 0);
      continue;
    }
    const shown = Math.min(record.count, SHOWN_ELEMENTS);
    const first =
      record.element === VALUE.STRING
        ? readStrings(core, at, shown)
        : Array.from({ length: shown }, (_, n) => readElement(core, at, record, n));
    metadata[record.key] = { count: record.count, first };
  }
  return metadata;
}

/** @param {Core} core @param {Pointer} value @param {number} count @returns {string[]} */
function readStrings(core, value, count) {
  return core.scope((allocate) => {
    const cursor = allocate(8);
    core.bytes.fill(0, cursor, cursor + 8);
    return Array.from({ length: count }, () =>
      core.resultString('hb_value_next_string', value, cursor),
    );
  });
}

/**
 * @param {Core} core
 * @param {Pointer} value
 * @param {{ element: number, data: Pointer }} record of the value
 * @param {number} index
 * @returns {Scalar}
 */
function readElement(core, value, { element, data }, index) {
  const at = BigInt(index);
  switch (element) {
    case VALUE.STRING:
      return core.resultString('hb_value_string', value);
    case VALUE.F32:
    case VALUE.F64:
      return core.resultF64('hb_value_f64', value, at);
    case VALUE.BOOL:
      return core.bytes[data + index] !== 0;
    case VALUE.U64:
      return exact(core.result64('hb_value_u64', value, at));
    default:
      return exact(BigInt.asIntN(64, core.result64('hb_value_i64', value, at)));
  }
}

/** A number if it can be one. @param {bigint} integer */
function exact(integer) {
  const number = Number(integer);
  return Number.isSafeInteger(number) ? number : integer;
}
