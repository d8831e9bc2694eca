// Tables of levels by the gradients that a file has, which the test writes itself.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { halfbyte, needs, shared, temporaryFolder } from './support.js';

const model = 'vectors/arch/llama.gguf';

const u32 = (...values) => Buffer.from(new Uint32Array(values).buffer);
const u64 = (...values) => Buffer.from(new BigUint64Array(values.map(BigInt)).buffer);
const string = (text) => Buffer.concat([u64(text.length), Buffer.from(text)]);
const padded = (bytes) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 31)]);

/** A gradient file for `tensors`, [{ name, dims }], whose value number i is weigh(i). */
function gradientFile(tensors, weigh) {
  const text = 8;
  const keys = { 'general.type': 'gradients', 'general.architecture': 'llama' };
  const parts = [Buffer.from('GGUF'), u32(3), u64(tensors.length, Object.keys(keys).length)];
  for (const [key, value] of Object.entries(keys)) parts.push(string(key), u32(text), string(value));
  const data = tensors.map(({ dims }) =>
    padded(Buffer.from(Float32Array.from({ length: dims[0] * dims[1] }, (_, i) => weigh(i)).buffer)));
  let offset = 0;
  tensors.forEach(({ name, dims }, i) => {
    parts.push(string(name), u32(2), u64(...dims), u32(0), u64(offset));
    offset += data[i].length;
  });
  return Buffer.concat([padded(Buffer.concat(parts)), ...data]);
}

/** The matrices that the model's layers have. */
function matricesOf(file) {
  const lines = halfbyte(['inspect', file, '--tensors']).out.matchAll(/ (\d+) x (\d+) .* (blk\.\S+)$/gm);
  return [...lines].map(([, cols, rows, name]) => ({ name, dims: [Number(cols), Number(rows)] }));
}

test('squeezellm weighs values by a gradient file', needs(model), (t) => {
  const folder = temporaryFolder(t);
  const matrices = matricesOf(shared(model));
  assert.equal(matrices.length, 14);
  const quantize = (name, weigh, ...more) => {
    const gradients = path.join(folder, `${name}.gradients`);
    const out = path.join(folder, name);
    writeFileSync(gradients, gradientFile(matrices, weigh));
    const done = halfbyte(['quantize', shared(model), out, '--type', 'table4', '--gradients', gradients, ...more]);
    return { ...done, file: done.code === 0 ? readFileSync(out) : undefined };
  };
  const even = quantize('even', () => 1, '-t', '1');
  assert.equal(even.code, 0, even.err);
  assert.doesNotMatch(even.out, /stood in/);
  assert.match(even.out, /^token_embd.weight: TABLE4; all its values count alike, as the gradient file/m);
  assert.deepEqual(quantize('halved', () => 0.5, '-t', '2').file, even.file);
  assert.notDeepEqual(quantize('other', (i) => i % 7).file, even.file);
  assert.match(quantize('negative', (i) => 9 - i).err, /attn_q.weight, row 0: value 10 is no finite number/);
  assert.match(quantize('wrong', () => 1, '--method', 'gptq').err, /method gptq has no use for gradients/);
  const over = halfbyte(
    ['quantize', shared(model), path.join(folder, 'even'), '--type', 'table4', '--gradients', path.join(folder, 'even')]);
  assert.match(over.err, /is an input file/);
});
