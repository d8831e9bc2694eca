// A second decoder of GGUF's block formats, written from the description of the formats alone, to
// check the C one against: slow, and with nothing in it but the layouts. Every step is rounded to
// float32, as ggml's reference does.

const f32 = Math.fround;

/** The value of an IEEE half-precision number. */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** One block of a type: fields are read in the order of the file. */
class Block {
  constructor(view, offset) {
    this.view = view;
    this.at = offset;
  }
  u8() {
    return this.view.getUint8(this.at++);
  }
  u16() {
    this.at += 2;
    return this.view.getUint16(this.at - 2, true);
  }
  half() {
    return half(this.u16());
  }
  bytes(count) {
    this.at += count;
    return new Uint8Array(this.view.buffer, this.view.byteOffset + this.at - count, count);
  }
}

/** 2 * count numbers of four bits: all low ones, then all high ones. */
function nibbles(bytes) {
  const low = Array.from(bytes, (byte) => byte & 15);
  const high = Array.from(bytes, (byte) => byte >> 4);
  return [...low, ...high];
}

/** 4 * count numbers of two bits: the lowest of every byte, then the next, ... */
function crumbs(bytes) {
  return [0, 2, 4, 6].flatMap((shift) => Array.from(bytes, (byte) => (byte >> shift) & 3));
}

/** 8 * count bits: bit 0 of every byte, then bit 1, ... */
function bitPlanes(bytes) {
  return [0, 1, 2, 3, 4, 5, 6, 7].flatMap((bit) => Array.from(bytes, (byte) => (byte >> bit) & 1));
}

/** The bits of a number of 32 bits, stored little-endian, from the lowest on. */
function bitsInOrder(bytes) {
  return Array.from(bytes).flatMap((byte) => [0, 1, 2, 3, 4, 5, 6, 7].map((bit) => (byte >> bit) & 1));
}

const signedBytes = (bytes) => Array.from(bytes, (byte) => (byte > 127 ? byte - 256 : byte));

/** Runs `unpack` on each part of `size` bytes and joins the results. */
function inParts(bytes, size, unpack) {
  const result = [];
  for (let at = 0; at < bytes.length; at += size) result.push(...unpack(bytes.subarray(at, at + size)));
  return result;
}

/** q * d, or q * d + m. */
const scaled = (q, d) => q.map((value) => f32(value * d));
const affine = (q, d, m) => q.map((value) => f32(f32(value * d) + m));

/** Numbers whose lower bits, `shift` of them, and higher ones come apart. */
const join = (low, high, shift) => low.map((value, i) => value | (high[i] << shift));

/** Scales and minimums of six bits each, eight of both in twelve bytes. */
function sixBitPairs(s) {
  const scales = [];
  const mins = [];
  for (let j = 0; j < 4; j++) {
    scales[j] = s[j] % 64;
    mins[j] = s[4 + j] % 64;
    scales[4 + j] = (s[8 + j] % 16) + 16 * (s[j] >> 6);
    mins[4 + j] = (s[8 + j] >> 4) + 16 * (s[4 + j] >> 6);
  }
  return { scales, mins };
}

/** d * scale * q - dmin * min, where a scale and a minimum serve `size` values each. */
function subBlocks(q, size, d, scales, dmin, mins) {
  return q.map((value, i) => {
    const k = Math.floor(i / size);
    const product = f32(f32(d * scales[k]) * value);
    return mins ? f32(product - f32(dmin * mins[k])) : product;
  });
}

const fourBitLevels = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
const e2m1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6];

/** The base-3 digits of the fraction byte / 256, the first ones. */
function trits(bytes, count) {
  const digits = [];
  for (let n = 0; n < count; n++)
    for (const byte of bytes) digits.push(Math.floor((((byte * 3 ** n) % 256) * 3) / 256));
  return digits;
}

const floats = (read) => ({ values: 1, decode: (b) => [read(b)] });

const wide = new DataView(new ArrayBuffer(4));
function floatOfBits(bits) {
  wide.setUint32(0, bits);
  return wide.getFloat32(0);
}

/** By GGUF's numbers. `decode` turns a block into its values. */
export const types = {
  0: { name: 'F32', bytes: 4, ...floats((b) => floatOfBits(b.u16() + b.u16() * 65536)) },
  1: { name: 'F16', bytes: 2, ...floats((b) => b.half()) },
  30: { name: 'BF16', bytes: 2, ...floats((b) => floatOfBits(b.u16() * 65536)) },
  2: {
    name: 'Q4_0', values: 32, bytes: 18,
    decode(b) {
      const d = b.half();
      return scaled(nibbles(b.bytes(16)).map((q) => q - 8), d);
    },
  },
  3: {
    name: 'Q4_1', values: 32, bytes: 20,
    decode(b) {
      const [d, m] = [b.half(), b.half()];
      return affine(nibbles(b.bytes(16)), d, m);
    },
  },
  6: {
    name: 'Q5_0', values: 32, bytes: 22,
    decode(b) {
      const d = b.half();
      const high = bitsInOrder(b.bytes(4));
      return scaled(join(nibbles(b.bytes(16)), high, 4).map((q) => q - 16), d);
    },
  },
  7: {
    name: 'Q5_1', values: 32, bytes: 24,
    decode(b) {
      const [d, m] = [b.half(), b.half()];
      const high = bitsInOrder(b.bytes(4));
      return affine(join(nibbles(b.bytes(16)), high, 4), d, m);
    },
  },
  8: {
    name: 'Q8_0', values: 32, bytes: 34,
    decode(b) {
      const d = b.half();
      return scaled(signedBytes(b.bytes(32)), d);
    },
  },
  10: {
    name: 'Q2_K', values: 256, bytes: 84,
    decode(b) {
      const pairs = Array.from(b.bytes(16));
      const q = inParts(b.bytes(64), 32, crumbs);
      const [d, dmin] = [b.half(), b.half()];
      return subBlocks(q, 16, d, pairs.map((p) => p & 15), dmin, pairs.map((p) => p >> 4));
    },
  },
  11: {
    name: 'Q3_K', values: 256, bytes: 110,
    decode(b) {
      const high = bitPlanes(b.bytes(32));
      const q = join(inParts(b.bytes(64), 32, crumbs), high, 2).map((value) => value - 4);
      const low = nibbles(b.bytes(8));
      const scales = join(low, crumbs(b.bytes(4)), 4).map((scale) => scale - 32);
      return subBlocks(q, 16, b.half(), scales);
    },
  },
  12: {
    name: 'Q4_K', values: 256, bytes: 144,
    decode(b) {
      const [d, dmin] = [b.half(), b.half()];
      const { scales, mins } = sixBitPairs(b.bytes(12));
      return subBlocks(inParts(b.bytes(128), 32, nibbles), 32, d, scales, dmin, mins);
    },
  },
  13: {
    name: 'Q5_K', values: 256, bytes: 176,
    decode(b) {
      const [d, dmin] = [b.half(), b.half()];
      const { scales, mins } = sixBitPairs(b.bytes(12));
      const high = bitPlanes(b.bytes(32));
      const q = join(inParts(b.bytes(128), 32, nibbles), high, 4);
      return subBlocks(q, 32, d, scales, dmin, mins);
    },
  },
  14: {
    name: 'Q6_K', values: 256, bytes: 210,
    decode(b) {
      const low = inParts(b.bytes(128), 64, nibbles);
      const high = inParts(b.bytes(64), 32, crumbs);
      const scales = signedBytes(b.bytes(16));
      return subBlocks(join(low, high, 4).map((q) => q - 32), 16, b.half(), scales);
    },
  },
  20: {
    name: 'IQ4_NL', values: 32, bytes: 18,
    decode(b) {
      const d = b.half();
      return scaled(nibbles(b.bytes(16)).map((q) => fourBitLevels[q]), d);
    },
  },
  23: {
    name: 'IQ4_XS', values: 256, bytes: 136,
    decode(b) {
      const d = b.half();
      const high = b.u16();
      const low = inParts(b.bytes(4), 1, nibbles);
      const scales = low.map((scale, k) => scale + 16 * ((high >> (2 * k)) & 3) - 32);
      const q = inParts(b.bytes(128), 16, nibbles).map((index) => fourBitLevels[index]);
      return subBlocks(q, 32, d, scales);
    },
  },
  34: {
    name: 'TQ1_0', values: 256, bytes: 54,
    decode(b) {
      const q = [...trits(b.bytes(32), 5), ...trits(b.bytes(16), 5), ...trits(b.bytes(4), 4)];
      const d = b.half();
      return scaled(q.map((trit) => trit - 1), d);
    },
  },
  35: {
    name: 'TQ2_0', values: 256, bytes: 66,
    decode(b) {
      const q = inParts(b.bytes(64), 32, crumbs).map((value) => value - 1);
      return scaled(q, b.half());
    },
  },
  39: {
    name: 'MXFP4', values: 32, bytes: 17,
    decode(b) {
      const power = 2 ** (b.u8() - 127);
      const signed = (q) => (q > 8 ? -e2m1[q - 8] : e2m1[q % 8]); // no negative zero
      return scaled(nibbles(b.bytes(16)).map(signed), power);
    },
  },
};

/** All values of a tensor of readGguf, as a Float32Array. */
export function decodeTensor(buffer, tensor) {
  const type = types[tensor.type];
  if (!type) throw new Error(`tensor ${tensor.name} has the type ${tensor.type}, which is not supported`);
  const count = tensor.dims.reduce((product, dim) => product * dim, 1);
  const view = new DataView(buffer.buffer, buffer.byteOffset + tensor.start);
  const out = new Float32Array(count);
  for (let block = 0; block < count / type.values; block++)
    out.set(type.decode(new Block(view, block * type.bytes)), block * type.values);
  return out;
}

const valueBytes = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];

/** The tensors of a GGUF file: name, dims, type, and the byte where their data start. */
export function readGguf(buffer) {
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  let at = 0;
  const u32 = () => view.getUint32((at += 4) - 4, true);
  const u64 = () => Number(view.getBigUint64((at += 8) - 8, true));
  const text = () => {
    const length = u64();
    return buffer.toString('utf8', at, (at += length));
  };
  let alignment = 32;
  const skipValue = (type) => {
    if (type === 8) text();
    else if (type === 9) for (let element = u32(), n = u64(); n > 0; n--) skipValue(element);
    else at += valueBytes[type];
  };

  if (buffer.toString('latin1', 0, 4) !== 'GGUF') throw new Error('no GGUF file');
  at = 8;
  const tensorCount = u64();
  for (let keys = u64(); keys > 0; keys--) {
    const key = text();
    const type = u32();
    if (key === 'general.alignment') alignment = view.getUint32(at, true);
    skipValue(type);
  }
  const tensors = [];
  for (let i = 0; i < tensorCount; i++) {
    const name = text();
    const dims = Array.from({ length: u32() }, u64);
    tensors.push({ name, dims, type: u32(), offset: u64() });
  }
  const dataStart = Math.ceil(at / alignment) * alignment;
  return tensors.map((tensor) => ({ ...tensor, start: dataStart + tensor.offset }));
}
