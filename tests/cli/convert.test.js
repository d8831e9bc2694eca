// Folders of Hugging Face at the command line: converting, quantizing, inspecting, running.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { halfbyte, needs, normalizedSquaredError, readFloats, shared, temporaryFolder } from './support.js';

const tales = 'models/tales-5.8m';
const folder = `${tales}/hf`;
const whole = needs(`${folder}/config.json`);

/** The line that `inspect` prints under that label. */
const line = (text, label) => text.match(new RegExp(`^${label} +(.*)$`, 'm'))[1];

test('convert writes a GGUF with the logits of the one that was made elsewhere', whole, (t) => {
  const out = temporaryFolder(t);
  const file = path.join(out, 'tales.gguf');
  const { code, err, out: said } = halfbyte(['convert', shared(folder), file]);
  assert.equal(code, 0, err);
  assert.match(said, /^56 tensors, 22\.0 MiB$/m);
  const models = [file, shared(`${tales}/tales-5.8m-f32.gguf`), shared(folder)];
  const logits = models.map((model, i) => {
    const result = path.join(out, `${i}.f32`);
    const args = ['logits', '-m', model, '--tokens', '1,403,407,261,378', '-o', result];
    assert.equal(halfbyte(args).code, 0);
    return readFileSync(result);
  });
  assert.deepEqual(logits[0], logits[1]);
  assert.deepEqual(logits[2], logits[1]);
});

test('convert --type rounds the matrices and leaves the vectors', whole, (t) => {
  const file = path.join(temporaryFolder(t), 'tales.gguf');
  for (const type of ['f16', 'bf16']) {
    assert.equal(halfbyte(['convert', shared(folder), file, '--type', type]).code, 0);
    const { out } = halfbyte(['inspect', file, '--tensors']);
    assert.match(out, new RegExp(`${type.toUpperCase()} +256 x 4096 .* token_embd.weight`));
    assert.match(out, /F32 +256 .* output_norm.weight/);
  }
  for (const type of ['q4_0', 'f17']) {
    const { code, err } = halfbyte(['convert', shared(folder), file, '--type', type]);
    assert.equal(code, 1);
    assert.match(err, /convert writes f32, f16 or bf16; halfbyte quantize writes/);
  }
});

test('quantize takes a folder and writes what it writes for its GGUF', whole, (t) => {
  const out = temporaryFolder(t);
  const sizes = [shared(folder), shared(`${tales}/tales-5.8m-f32.gguf`)].map((model, i) => {
    const file = path.join(out, `${i}.gguf`);
    assert.equal(halfbyte(['quantize', model, file, '--type', 'q8_0']).code, 0);
    const result = path.join(out, `${i}.f32`);
    halfbyte(['logits', '-m', file, '--tokens', '1,403,407', '-o', result]);
    return readFloats(result);
  });
  assert.equal(normalizedSquaredError(sizes[0], sizes[1]), 0);
});

test('inspect shows a folder, and run tells its story', whole, () => {
  const { code, out } = halfbyte(['inspect', shared(folder), '--keys']);
  assert.equal(code, 0);
  assert.equal(line(out, 'architecture'), 'llama');
  assert.equal(line(out, 'vocabulary'), '4096');
  assert.match(out, /tokenizer\.ggml\.add_bos_token = true/);
  const args = ['-p', 'Once upon a time', '--temp', '0', '-n', '12'];
  const stories = [folder, `${tales}/tales-5.8m-f32.gguf`].map((model) =>
    halfbyte(['run', '-m', shared(model), ...args]).out);
  assert.equal(stories[0], stories[1]);
});

test('what a folder reads is not written over, also behind links', whole, (t) => {
  const copy = path.join(temporaryFolder(t), 'model');
  mkdirSync(copy);
  copyFileSync(shared(`${folder}/config.json`), path.join(copy, 'config.json'));
  for (const name of ['model.safetensors', 'tokenizer.model'])
    symlinkSync(shared(`${folder}/${name}`), path.join(copy, name));
  for (const name of ['config.json', 'tokenizer.model', 'model.safetensors']) {
    const { code, err } = halfbyte(['convert', copy, path.join(copy, name)]);
    assert.equal(code, 1);
    assert.match(err, /is an input file; give another name to write/);
  }
  assert.equal(halfbyte(['convert', copy, path.join(copy, 'model.gguf')]).code, 0);
  assert.ok(existsSync(path.join(copy, 'model.gguf')));
});

test('a folder that is no model is refused by what it lacks, and nothing is written', (t) => {
  const empty = temporaryFolder(t);
  for (const command of [['convert', empty], ['inspect', empty], ['run', '-p', 'x', '-m', empty]]) {
    const file = path.join(empty, 'out.gguf');
    const { code, err } = halfbyte(command[0] === 'convert' ? [...command, file] : command);
    assert.equal(code, 1);
    assert.match(err, /the folder has no config\.json/);
  }
  assert.deepEqual(readdirSync(empty), []);
});
