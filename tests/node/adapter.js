// Makes LoRA adapters in the GGUF form of llama.cpp.
const F32 = 0;
const littleEndian = (bytes, value) => {
  const out = Buffer.alloc(bytes);
  for (let i = 0, rest = BigInt(value); i < bytes; i++, rest >>= 8n) out[i] = Number(rest & 255n);
  return out;
};
const u32 = (value) => littleEndian(4, value);
const u64 = (value) => littleEndian(8, value);
const f32 = (value) => Buffer.from(new Float32Array([value]).buffer);
const text = (value) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
const stringKey = (key, value) => Buffer.concat([text(key), u32(8), text(value)]);

/** The matrices in the layers of the default model: names, columns, rows. */
export const defaultMatrices = Array.from({ length: 6 }, (_, layer) =>
  Object.entries({
    attn_q: [256, 256],
    attn_k: [256, 128],
    attn_v: [256, 128],
    attn_output: [256, 256],
    ffn_gate: [256, 768],
    ffn_up: [256, 768],
    ffn_down: [768, 256],
  }).map(([name, shape]) => [`blk.${layer}.${name}.weight`, ...shape]),
).flat();

/** Numbers from -1 to 1, the same for a seed. */
function noise(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

/** The bytes of an adapter with random values; `size` is about that of a value of B A. */
export function makeAdapter({
  matrices = defaultMatrices,
  rank = 4,
  alpha = 8,
  architecture = 'llama',
  type = 'adapter',
  seed = 1,
  size = 0.1,
} = {}) {
  const random = noise(seed);
  const factor = Math.sqrt(size / Math.sqrt(rank));
  const records = [];
  const values = [];
  let offset = 0;
  for (const [name, cols, rows] of matrices)
    for (const [half, dims] of [
      ['a', [cols, rank]],
      ['b', [rank, rows]],
    ]) {
      const floats = Float32Array.from({ length: dims[0] * dims[1] }, () => factor * random());
      const padding = (32 - (floats.byteLength % 32)) % 32;
      records.push(text(`${name}.lora_${half}`), u32(2), ...dims.map(u64), u32(F32), u64(offset));
      values.push(Buffer.from(floats.buffer), Buffer.alloc(padding));
      offset += floats.byteLength + padding;
    }
  const header = Buffer.concat([
    Buffer.from('GGUF'),
    u32(3),
    u64(2 * matrices.length),
    u64(4),
    stringKey('general.type', type),
    stringKey('adapter.type', 'lora'),
    stringKey('general.architecture', architecture),
    text('adapter.lora.alpha'),
    u32(6),
    f32(alpha),
    ...records,
  ]);
  return Buffer.concat([header, Buffer.alloc((32 - (header.length % 32)) % 32), ...values]);
}
