// Models split into several files, as gguf-split of llama.cpp does it.
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { split } from './split.js';
import { defaultModel, halfbyte, temporaryFolder } from './support.js';

const parity = (model) => halfbyte(['parity', '-m', model, '-p', 'Once upon a time']);

test('a split model is found, loaded, shown and quantized by its first file', (t) => {
  const folder = temporaryFolder(t);
  const [first] = split(folder, 3);
  assert.deepEqual(parity(first), parity(defaultModel));
  assert.match(halfbyte(['inspect', first]).out, /^tensors +56, 3\.1 MiB$/m);
  const quantized = (source, name) => {
    const out = path.join(folder, name);
    const { code, err } = halfbyte(['quantize', source, out, '--type', 'q8_0', '--allow-requantize']);
    assert.equal(code, 0, err);
    return readFileSync(out);
  };
  assert.ok(quantized(first, 'a.gguf').equals(quantized(defaultModel, 'b.gguf')));
});

test('a missing, damaged or wrong file of a split model is named', (t) => {
  const folder = temporaryFolder(t);
  const [first, second, third] = split(folder, 3);
  const bytes = readFileSync(second);
  const fails = (message) => {
    for (const args of [['run', '-m', first], ['quantize', first, path.join(folder, 'x'), '--type', 'q8_0']]) {
      const { code, err } = halfbyte(args);
      assert.equal(code, 1);
      assert.match(err, message);
    }
  };
  writeFileSync(second, bytes.subarray(0, bytes.length - 100));
  fails(/model-00002-of-00003\.gguf: /);
  writeFileSync(second, readFileSync(third));
  fails(/model-00002-of-00003\.gguf: /);
  rmSync(second);
  fails(/model-00002-of-00003\.gguf: No such file/);
});

test('quantize writes over no file of a split model', (t) => {
  const [first, second] = split(temporaryFolder(t), 2);
  const { code, err } = halfbyte(['quantize', first, second, '--type', 'q8_0']);
  assert.equal(code, 1);
  assert.match(err, /is an input file/);
});
