// LoRA adapters on the command line: added when a model runs, or merged into it.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { defaultMatrices, makeAdapter } from '../node/adapter.js';
import {
  availableIsas,
  defaultModel,
  halfbyte,
  normalizedSquaredError,
  readFloats,
  temporaryFolder,
} from './support.js';

const tokens = '1,403,407,261,378,432,429,365,282,300,12,500,33,77,211,309,418,11,64,490';

function folderWith(t, adapters) {
  const folder = temporaryFolder(t);
  const files = Object.entries(adapters).map(([name, options]) => {
    const file = path.join(folder, name);
    writeFileSync(file, makeAdapter(options));
    return file;
  });
  return { folder, files, at: (name) => path.join(folder, name) };
}

function succeed(...args) {
  const result = halfbyte(args);
  assert.equal(result.code, 0, result.err);
  return result;
}

const hash = (...more) => succeed('parity', '-m', defaultModel, '--tokens', tokens, ...more).out;

test('an adapter changes the text, by its scale, and 0 leaves it', (t) => {
  const { files } = folderWith(t, { 'a.gguf': {} });
  const story = (...more) =>
    succeed('run', '-m', defaultModel, '-p', 'Once upon a time', '-n', '30', '--temp', '0', ...more)
      .out;
  const plain = story();
  assert.notEqual(story('--lora', files[0]), plain);
  assert.equal(story('--lora', `${files[0]}=0`), plain);
  assert.equal(story(`--lora=${files[0]}=1`), story('--lora', files[0]));
});

test('adapted models give the same bits on every instruction set, by any steps and threads', (t) => {
  const { files } = folderWith(t, { 'a.gguf': { rank: 7 }, 'b.gguf': { seed: 2, rank: 16 } });
  const lora = ['--lora', files[0], '--lora', `${files[1]}=-0.5`];
  const expected = hash(...lora, '--isa', 'scalar', '-t', '1');
  assert.notEqual(expected, hash());
  assert.notEqual(expected, hash('--lora', files[0]));
  for (const isa of availableIsas())
    for (const more of [
      ['-t', '1'],
      ['-t', '3', '--split', 'pieces'],
    ])
      assert.equal(hash(...lora, '--isa', isa, ...more), expected, `${isa} ${more}`);
});

test('perplexity, compare and inspect know adapters', (t) => {
  const { at, files } = folderWith(t, { 'a=b.gguf': { size: 0.2 } });
  writeFileSync(
    at('text'),
    'The king had a little dog. It was happy, and he was, too. '.repeat(12),
  );
  const measure = ['-f', at('text'), '--ctx', '64'];
  const plain = succeed('perplexity', '-m', defaultModel, ...measure).out;
  const adapted = succeed('perplexity', '-m', defaultModel, ...measure, '--lora', files[0]).out;
  const value = (out) => Number(/PPL = ([\d.]+)/.exec(out)[1]);
  assert.ok(value(adapted) > value(plain));
  const compared = JSON.parse(
    succeed('compare', defaultModel, defaultModel, ...measure, '--lora', files[0], '--json').out,
  );
  assert.ok(compared.meanKl.value > 0.001);
  assert.ok(compared.model.weightBytes > compared.reference.weightBytes);
  const program = succeed('inspect', defaultModel, '--program', '--lora', `${files[0]}=2`).out;
  assert.match(program, /MATMUL low\[0\+4\] -> raised\[0\+256\] {2}blk\.0\.attn_q\.weight\.lora_b/);
  assert.doesNotMatch(succeed('inspect', defaultModel, '--program').out, /lora/);
});

test('an adapter that does not fit is refused by name', (t) => {
  const { at } = folderWith(t, {
    'other.gguf': { architecture: 'qwen2' },
    'model.gguf': { type: 'model' },
    'shape.gguf': { matrices: [['blk.3.attn_v.weight', 256, 256]] },
    'output.gguf': { matrices: [['token_embd.weight', 256, 4096]] },
  });
  const refused = (lora, message) => {
    const { code, out, err } = halfbyte(['run', '-m', defaultModel, '-p', 'x', '--lora', lora]);
    assert.equal(code, 1);
    assert.equal(out, '');
    assert.match(err, message);
  };
  refused(at('other.gguf'), /--lora .*other\.gguf: .*"qwen2" instead of "llama"/);
  refused(at('model.gguf'), /general\.type is "model"/);
  refused(at('shape.gguf'), /blk\.3\.attn_v\.weight is made for a matrix of 256 x 256/);
  refused(at('output.gguf'), /token_embd\.weight, which is not in a layer/);
  refused(defaultModel, /it has no key general\.type|general\.type is "model"/);
  refused(at('none.gguf'), /none\.gguf/);
  refused(`${at('other.gguf')}=1e99`, /scale is out of its range/);
});

test('a merged model computes what the adapted one does, as near as its type allows', (t) => {
  const { files, at } = folderWith(t, {
    'a.gguf': {},
    'b.gguf': { seed: 5, matrices: defaultMatrices.slice(0, 9) },
  });
  const logits = (name, model, ...more) => {
    succeed('logits', '-m', model, '--tokens', tokens, '-o', at(name), ...more);
    return readFloats(at(name));
  };
  const plain = logits('plain', defaultModel);
  const adapted = logits('adapted', defaultModel, '--lora', files[0], '--lora', `${files[1]}=0.5`);
  const merge = (out, ...more) =>
    succeed('merge', defaultModel, files[0], at(out), '--lora', `${files[1]}=0.5`, ...more).out;
  assert.match(merge('same'), /^42 matrices changed, relative squared error at most 0\.0/);
  merge('again', '-t', '3');
  assert.deepEqual(readFileSync(at('again')), readFileSync(at('same')));
  merge('q8_0', '--type', 'q8_0');
  const error = (name) => normalizedSquaredError(logits(`${name}.logits`, at(name)), adapted);
  const change = normalizedSquaredError(adapted, plain);
  assert.ok(error('q8_0') < change / 50, `${error('q8_0')} of ${change}`);
  assert.ok(error('same') < change, `${error('same')} of ${change}`);
});

test('merging at a scale of 0 copies the file', (t) => {
  const { files, at } = folderWith(t, { 'a.gguf': {} });
  assert.match(succeed('merge', defaultModel, `${files[0]}=0`, at('out')).out, /^0 matrices/);
  assert.deepEqual(readFileSync(at('out')), readFileSync(defaultModel));
});

test('merge leaves no file behind when it is refused', (t) => {
  const { files, at } = folderWith(t, { 'a.gguf': { architecture: 'gpt2' } });
  const { code, err } = halfbyte(['merge', defaultModel, files[0], at('out')]);
  assert.equal(code, 1);
  assert.match(err, /"gpt2"/);
  assert.throws(() => readFileSync(at('out')), { code: 'ENOENT' });
  assert.match(halfbyte(['merge', defaultModel, files[0], at('out'), '--type', 'q9']).err, /"q9"/);
});

test('merge writes over none of its inputs', (t) => {
  const { files } = folderWith(t, { 'a.gguf': {}, 'b.gguf': { seed: 5 } });
  const bytes = files.map((file) => readFileSync(file));
  for (const out of [defaultModel, ...files]) {
    const { code, err } = halfbyte(['merge', defaultModel, files[0], out, '--lora', files[1]]);
    assert.equal(code, 1);
    assert.match(err, /is an input file/);
  }
  files.forEach((file, i) => assert.deepEqual(readFileSync(file), bytes[i]));
});
