// Tables of levels by the gradients that a file has, which the test writes itself.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { gradientFile, matricesOf } from './gradient-file.js';
import { halfbyte, needs, shared, temporaryFolder } from './support.js';

const model = 'vectors/arch/llama.gguf';

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
