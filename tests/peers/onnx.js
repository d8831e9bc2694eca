// Writes an ONNX model of one MatMulNBits node, the 4-bit matrix product that transformers.js's
// models are made of. Fields by their numbers in onnx.proto; operator from onnxruntime's
// ContribOperators.md (com.microsoft). Runs in pages.

const encoder = new TextEncoder();

/** @param {number} value a whole number below 2^53 @returns {number[]} */
function varint(value) {
  const bytes = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return [...bytes, value];
}

/** A field that holds a number. @param {number} field @param {number} value */
const int = (field, value) => Uint8Array.from([...varint(field * 8), ...varint(value)]);

/**
 * A field that holds a text, bytes, or a message made of fields.
 * @param {number} field
 * @param {string | Uint8Array | Uint8Array[]} value
 */
function bytes(field, value) {
  const content =
    typeof value === 'string' ? encoder.encode(value) : Array.isArray(value) ? join(value) : value;
  return join([Uint8Array.from([...varint(field * 8 + 2), ...varint(content.length)]), content]);
}

/** @param {Uint8Array[]} parts */
function join(parts) {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const FLOAT = 1;
const UINT8 = 2;
const INT_ATTRIBUTE = 2;

/**
 * TensorProto.
 * @param {string} name
 * @param {number} type
 * @param {number[]} shape
 * @param {Uint8Array} data
 */
const tensor = (name, type, shape, data) => [
  ...shape.map((size) => int(1, size)),
  int(2, type),
  bytes(8, name),
  bytes(9, data),
];

/** ValueInfoProto of a float matrix. @param {string} name @param {(string | number)[]} shape */
const matrix = (name, shape) => [
  bytes(1, name),
  bytes(2, [
    bytes(1, [
      int(1, FLOAT),
      bytes(
        2,
        shape.map((size) => bytes(1, [typeof size === 'string' ? bytes(2, size) : int(1, size)])),
      ),
    ]),
  ]),
];

/** AttributeProto. @param {string} name @param {number} value */
const attribute = (name, value) => [bytes(1, name), int(3, value), int(20, INT_ATTRIBUTE)];

const BLOCK = 32;

/**
 * The product of activations A [rows of a batch][cols] with weights [rows][cols]: 4 bits each, a
 * float scale to 32 of them; Y [rows of a batch][rows].
 * @param {number} rows
 * @param {number} cols divides by 32
 * @param {(length: number) => Uint8Array} random
 * @returns {Uint8Array}
 */
export function matMulNBits(rows, cols, random) {
  const blocks = cols / BLOCK;
  const scales = new Float32Array(rows * blocks).fill(2 ** -6);
  const settings = { K: cols, N: rows, bits: 4, block_size: BLOCK, accuracy_level: 4 }; // 4: int8
  const node = [
    ...['A', 'B', 'scales'].map((name) => bytes(1, name)),
    bytes(2, 'Y'),
    bytes(4, 'MatMulNBits'),
    ...Object.entries(settings).map(([name, value]) => bytes(5, attribute(name, value))),
    bytes(7, 'com.microsoft'),
  ];
  const weights = random((rows * cols) / 2);
  const graph = [
    bytes(1, node),
    bytes(2, 'product'),
    bytes(5, tensor('B', UINT8, [rows, blocks, BLOCK / 2], weights)),
    bytes(5, tensor('scales', FLOAT, [rows * blocks], new Uint8Array(scales.buffer))),
    bytes(11, matrix('A', ['batch', cols])),
    bytes(12, matrix('Y', ['batch', rows])),
  ];
  return join([
    int(1, 9), // version of the format
    bytes(7, graph),
    bytes(8, [bytes(1, ''), int(2, 17)]), // versions of the operators
    bytes(8, [bytes(1, 'com.microsoft'), int(2, 1)]),
  ]);
}
