// Gradient files (src/compress/gradients.h), as tests want them.
import { halfbyte } from './support.js';

const u32 = (...values) => Buffer.from(new Uint32Array(values).buffer);
const u64 = (...values) => Buffer.from(new BigUint64Array(values.map(BigInt)).buffer);
const string = (text) => Buffer.concat([u64(text.length), Buffer.from(text)]);
const padded = (bytes) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 31)]);

/** A gradient file for `tensors`, [{ name, dims }], whose value number i is weigh(i). */
export function gradientFile(tensors, weigh) {
  const text = 8;
  const keys = { 'general.type': 'gradients', 'general.architecture': 'llama' };
  const parts = [Buffer.from('GGUF'), u32(3), u64(tensors.length, Object.keys(keys).length)];
  for (const [key, value] of Object.entries(keys))
    parts.push(string(key), u32(text), string(value));
  const data = tensors.map(({ dims }) =>
    padded(
      Buffer.from(Float32Array.from({ length: dims[0] * dims[1] }, (_, i) => weigh(i)).buffer),
    ),
  );
  let offset = 0;
  tensors.forEach(({ name, dims }, i) => {
    parts.push(string(name), u32(2), u64(...dims), u32(0), u64(offset));
    offset += data[i].length;
  });
  return Buffer.concat([padded(Buffer.concat(parts)), ...data]);
}

/** The matrices that the model's layers have. */
export function matricesOf(file) {
  const lines = halfbyte(['inspect', file, '--tensors']).out.matchAll(
    / (\d+) x (\d+) .* (blk\.\S+)$/gm,
  );
  return [...lines].map(([, cols, rows, name]) => ({ name, dims: [Number(cols), Number(rows)] }));
}
