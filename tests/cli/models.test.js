// The commands on real models: the default one and the shared vectors.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import {
  argmaxOfRows, availableIsas, defaultModel, halfbyte, needs, normalizedSquaredError, readFloats,
  shared, temporaryFolder,
} from './support.js';

const tokens = '1,403,407,261,378,432,429,365,282,300,12,500,33,77,211,309,418,11,64,490';
const stories = 'models/stories260K/stories260K-f32.gguf';

test('selftest passes on every instruction set of this machine', () => {
  const { code, out } = halfbyte(['selftest']);
  assert.equal(code, 0, out);
  assert.match(out, /^scalar +ok$/m);
  for (const line of out.trim().split('\n')) assert.match(line, /^\w+ +ok$/);
});

// ---- run and chat ----

test('run tells the golden greedy story', needs(stories), () => {
  const golden = readFileSync(shared('models/stories260K/expected_greedy_200.txt'), 'utf8');
  const { code, out, err } = halfbyte([
    'run', '-m', shared(stories), '-p', '', '--temp', '0', '-n', '200',
  ]);
  assert.equal(code, 0, err);
  assert.equal(out, golden);
  assert.match(err, /prompt 1 tokens, [\d.]+ tokens\/s; generated \d+ tokens, [\d.]+ tokens\/s/);
});

test('run repeats itself for a seed, whatever the threads', () => {
  const story = (...more) =>
    halfbyte(['run', '-m', defaultModel, '-p', 'Once upon a time', '-n', '40', ...more]).out;
  const first = story('--seed', '7', '-t', '1');
  assert.ok(first.length > 40);
  assert.equal(story('--seed', '7', '-t', '2'), first);
  assert.equal(story('--seed', '7', '-t', '3'), first);
  assert.notEqual(story('--seed', '8'), first);
});

test('run reads the prompt from standard input', () => {
  const args = ['run', '-m', defaultModel, '-n', '10', '--temp', '0', '-p'];
  assert.equal(
    halfbyte([...args, '-'], { input: 'The king' }).out,
    halfbyte([...args, 'The king']).out,
  );
});

test('run ends before a stop text', () => {
  const args = ['run', '-m', defaultModel, '-n', '100', '--temp', '0', '-p', 'Once upon a time'];
  const whole = halfbyte(args).out;
  const stop = whole.slice(20, 24);
  assert.equal(halfbyte([...args, '--stop', stop]).out, `${whole.slice(0, whole.indexOf(stop))}\n`);
});

test('run says when the context is full', () => {
  const { code, err } = halfbyte([
    'run', '-m', defaultModel, '-n', '0', '--ignore-eos', '--ctx', '16', '--seed', '1', '--stats',
  ]);
  assert.equal(code, 0);
  assert.match(err, /the context is full/);
  assert.match(err, /position 16 of 16; seed 1/);
});

test('run refuses a prompt that does not fit', () => {
  const { code, err } = halfbyte([
    'run', '-m', defaultModel, '--ctx', '4', '-p', 'Once upon a time there was a king',
  ]);
  assert.equal(code, 1);
  assert.match(err, /tokens do not fit/);
});

test('chat answers each line and says that there is no template', () => {
  const { code, out, err } = halfbyte(
    ['chat', '-m', defaultModel, '-n', '8', '--temp', '0'],
    { input: 'Once upon a time\n\nThe king said' },
  );
  assert.equal(code, 0, err);
  assert.match(err, /no chat template/);
  assert.equal(out.split('\n').length >= 3, true);
});

test('chat forgets when the context is full and goes on', () => {
  const { code, err } = halfbyte(
    ['chat', '-m', defaultModel, '-n', '20', '--ctx', '24', '--seed', '1'],
    { input: 'Once upon a time\nthere was a king\nand a queen\n' },
  );
  assert.equal(code, 0, err);
  assert.match(err, /the context is full/);
});

// ---- inspect ----

test('inspect shows the model, its types and its memory', () => {
  const { code, out, err } = halfbyte(['inspect', defaultModel]);
  assert.equal(code, 0, err);
  assert.match(out, /^architecture +llama$/m);
  assert.match(out, /^layers +6$/m);
  assert.match(out, /^width +256, feed forward 768$/m);
  assert.match(out, /^parameters +5\.77 M/m);
  assert.match(out, /^ {2}Q4_0 +\d+, 3\.\d MiB$/m);
  assert.match(out, /^bits\/weight +4\.5\d+$/m);
  assert.match(out, /^memory +[\d.]+ MiB at context 512/m);
});

test('inspect tells more memory for a longer context', () => {
  const memory = (...more) => {
    const { out } = halfbyte(['inspect', defaultModel, ...more]);
    return Number(out.match(/session ([\d.]+) MiB/)[1]);
  };
  assert.ok(memory('--ctx', '4096') > memory('--ctx', '1024'));
  assert.ok(memory('--ctx', '4096', '--kv', 'f32') > memory('--ctx', '4096'));
});

test('inspect lists keys, tensors and the program', () => {
  const { out } = halfbyte(['inspect', defaultModel, '--keys', '--tensors', '--program']);
  assert.match(out, /^ {2}llama\.block_count = 6$/m);
  assert.match(out, /^ {2}tokenizer\.ggml\.tokens = 4096 \["/m);
  assert.match(out, /^ {2}Q4_0 +256 x 768 .* blk\.0\.ffn_gate\.weight$/m);
  assert.match(out, /^ +0 {2}\w+/m);
});

test('inspect shows a file that cannot run, with the reason',
  needs('vectors/tokenizer/llama-bpe.gguf'), () => {
    const { code, out } = halfbyte(['inspect', shared('vectors/tokenizer/llama-bpe.gguf')]);
    assert.equal(code, 0);
    assert.match(out, /^architecture +llama$/m);
    assert.match(out, /^cannot run +/m);
  });

// ---- tokenize ----

for (const name of ['llama-spm', 'llama-bpe', 'gpt-2', 'qwen2']) {
  const files = [`vectors/tokenizer/${name}.gguf`, `vectors/tokenizer/${name}.inp`];
  test(`tokenize splits the texts of ${name} as its reference does`, needs(...files), () => {
    const texts = readFileSync(shared(files[1]), 'utf8').split('\n__ggml_vocab_test__\n').slice(0, -1);
    const expected = readFileSync(shared(`vectors/tokenizer/${name}.out`), 'utf8').split('\n');
    for (const index of [0, 7, 20, texts.length - 1]) {
      const { code, out, err } = halfbyte(
        ['tokenize', '-m', shared(files[0]), '--ids', '--no-bos', '-'], { input: texts[index] },
      );
      assert.equal(code, 0, err);
      assert.equal(out.trim(), expected[index].trim());
    }
  });
}

test('tokenize shows each token, and reads control tokens only when asked to', () => {
  const plain = halfbyte(['tokenize', '-m', defaultModel, '</s>']).out;
  const special = halfbyte(['tokenize', '-m', defaultModel, '--special', '</s>']).out;
  assert.match(plain, /^ +1 {2}<s>$/m);
  assert.doesNotMatch(plain, /^ +2 {2}/m);
  assert.match(special, /^ +2 {2}<\/s>$/m);
});

// ---- logits and parity ----

const bounds = {
  llama: 1e-9, 'llama-tied-mha': 1e-9, 'llama-ropefreqs': 1e-9, qwen2: 1e-9, qwen3: 1e-9,
  gpt2: 1e-6, gptneox: 1e-6, gemma3: 1e-6,
};
for (const [name, bound] of Object.entries(bounds)) {
  const files = [`vectors/arch/${name}.gguf`, `vectors/arch/${name}.logits.f32`];
  test(`logits of ${name} are the reference's`, needs(...files), (t) => {
    const out = path.join(temporaryFolder(t), 'logits');
    const { code, err } = halfbyte([
      'logits', '-m', shared(files[0]), '--tokens', tokens, '--kv', 'f32', '-o', out,
    ]);
    assert.equal(code, 0, err);
    const actual = readFloats(out);
    const expected = readFloats(shared(files[1]));
    assert.equal(actual.length, 20 * 512);
    const error = normalizedSquaredError(actual, expected);
    assert.ok(error < bound, `normalized squared error ${error}`);
    assert.deepEqual(argmaxOfRows(actual, 512), argmaxOfRows(expected, 512));
  });
}

test('parity is one hash for every instruction set, thread count and split', () => {
  const hash = (...more) => {
    const { code, out, err } = halfbyte([
      'parity', '-m', defaultModel, '-p', 'Once upon a time there was a king who had', ...more,
    ]);
    assert.equal(code, 0, err);
    return out.trim();
  };
  const expected = hash('--isa', 'scalar', '-t', '1');
  assert.match(expected, /^[0-9a-f]{64}$/);
  for (const isa of availableIsas())
    for (const split of ['whole', 'pieces', 'single'])
      for (const threads of ['1', '2', '3'])
        assert.equal(hash('--isa', isa, '--split', split, '-t', threads), expected);
  assert.notEqual(hash('--kv', 'f32'), expected);
});

test('parity is the hash of the logits', async (t) => {
  const { createHash } = await import('node:crypto');
  const file = path.join(temporaryFolder(t), 'logits');
  assert.equal(halfbyte(['logits', '-m', defaultModel, '--tokens', '1,5,9', '-o', file]).code, 0);
  const { out } = halfbyte(['parity', '-m', defaultModel, '--tokens', '1,5,9']);
  assert.equal(out.trim(), createHash('sha256').update(readFileSync(file)).digest('hex'));
});

test('logits writes nothing when it fails', (t) => {
  const folder = temporaryFolder(t);
  const file = path.join(folder, 'logits');
  writeFileSync(file, 'kept');
  for (const list of ['1,2,4096', '1,,2', '1,2,', 'x', '']) {
    const { code, err } = halfbyte(['logits', '-m', defaultModel, '--tokens', list, '-o', file]);
    assert.equal(code, 1);
    assert.match(err, /4096 is not in the vocabulary of 4096|takes ids with commas/);
  }
  assert.equal(readFileSync(file, 'utf8'), 'kept');
  assert.deepEqual(readdirSync(folder), ['logits']);
});

// ---- perplexity ----

// The reference is llama.cpp v0.5.0 over all chunks: F32 26.0594, Q4_0 26.5996. Ours quantizes
// activations per block in f32, so Q4_0 may differ in the fourth digit; test:full measures it all.
test('perplexity of the first chunks: Q4_0 costs about 2 %',
  needs('models/tales-5.8m/tales-5.8m-f32.gguf', 'models/tales-5.8m/ggml/Q4_0.gguf', 'text/tales-val.txt'), () => {
    const measure = (model, ...more) => {
      const { code, out, err } = halfbyte([
        'perplexity', '-m', model, '-f', shared('text/tales-val.txt'), '--ctx', '256',
        '--chunks', '8', ...more,
      ]);
      assert.equal(code, 0, err);
      const [, value, error] = out.match(/^PPL = ([\d.]+) \+- ([\d.]+) \(8 chunks of 256, 1016 /m);
      assert.ok(error > 0 && error < value / 5);
      return Number(value);
    };
    const exact = measure(shared('models/tales-5.8m/tales-5.8m-f32.gguf'));
    const rounded = shared('models/tales-5.8m/ggml/Q4_0.gguf');
    const quantized = measure(rounded);
    assert.ok(exact > 15 && exact < 40, `F32 ${exact}`);
    const excess = Math.log(quantized / exact);
    assert.ok(excess > 0 && excess < 0.05, `excess ${excess}`);
    assert.equal(measure(rounded, '-t', '1'), quantized);
    assert.ok(measure(defaultModel) < quantized, 'training made good for it');
  });

test('perplexity refuses a text that is too short', (t) => {
  const file = path.join(temporaryFolder(t), 'text');
  writeFileSync(file, 'Once upon a time');
  const { code, err } = halfbyte(['perplexity', '-m', defaultModel, '-f', file]);
  assert.equal(code, 1);
  assert.match(err, /the text has \d+ tokens; --ctx 512 takes at least 1024/);
});

// ---- quantize ----

test('quantize makes of equal weights a model with the bits of the one that ggml makes',
  needs('models/tales-5.8m/tales-5.8m-f32.gguf', 'models/tales-5.8m/ggml/Q4_0.gguf'), (t) => {
    const folder = temporaryFolder(t);
    const file = path.join(folder, 'model.gguf');
    const { code, err } = halfbyte([
      'quantize', shared('models/tales-5.8m/tales-5.8m-f32.gguf'), file, '--type', 'q4_0',
    ]);
    assert.equal(code, 0, err);
    assert.equal(readFileSync(file).length, readFileSync(shared('models/tales-5.8m/ggml/Q4_0.gguf')).length);
    const hashes = [file, shared('models/tales-5.8m/ggml/Q4_0.gguf')].map(
      (model) => halfbyte(['parity', '-m', model, '--tokens', '1,403,407,261']).out);
    assert.match(hashes[0], /^[0-9a-f]{64}/);
    assert.equal(hashes[0], hashes[1]);
  });

test('quantize says which tensors fell back to another type', needs(stories), (t) => {
  const file = path.join(temporaryFolder(t), 'model.gguf');
  const { code, out, err } = halfbyte(['quantize', shared(stories), file, '--type', 'Q4_0']);
  assert.equal(code, 0, err);
  assert.match(out, /^blk\.0\.ffn_down\.weight: F16, as rows of 172 values do not divide into/m);
  assert.equal(halfbyte(['run', '-m', file, '-n', '5']).code, 0);
});

test('quantize gives tensors types by rules', needs('models/tales-5.8m/tales-5.8m-f32.gguf'), (t) => {
  const file = path.join(temporaryFolder(t), 'out.gguf');
  const { code, err } = halfbyte([
    'quantize', shared('models/tales-5.8m/tales-5.8m-f32.gguf'), file, '--type', 'q4_0',
    '--tensor', 'attn_v=q6_k,blk.1.*down=q8_0,token_embd=f16',
  ]);
  assert.equal(code, 0, err);
  const list = halfbyte(['inspect', file, '--tensors']).out;
  for (const [name, type] of [
    ['blk.0.attn_v.weight', 'Q6_K'], ['blk.1.ffn_down.weight', 'Q8_0'],
    ['blk.0.ffn_down.weight', 'Q4_0'], ['token_embd.weight', 'F16'],
  ])
    assert.match(list, new RegExp(`${type} .*${name}\\n`), name);
  for (const [rules, reason] of [
    ['attn_v', /--tensor takes rules such as attn_v=q6_k, not 'attn_v'/],
    ['attn_v=q6_k,atn_q=q5_k', /--tensor: no tensor's name has 'atn_q' in it/],
  ]) {
    const wrong = halfbyte(['quantize', shared('models/tales-5.8m/tales-5.8m-f32.gguf'), `${file}.2`, '--type', 'q4_0', '--tensor', rules]);
    assert.equal(wrong.code, 2);
    assert.match(wrong.err, reason);
  }
});

test('quantize takes a quantized model only when told to', (t) => {
  const file = path.join(temporaryFolder(t), 'out.gguf');
  const { code, err } = halfbyte(['quantize', defaultModel, file, '--type', 'q8_0']);
  assert.equal(code, 1);
  assert.match(err, /is quantized already .* --allow-requantize/);
  assert.equal(existsSync(file), false);
  assert.equal(halfbyte(['quantize', defaultModel, file, '--type', 'q8_0', '--allow-requantize']).code, 0);
});

test('quantize never writes over its input', (t) => {
  const folder = temporaryFolder(t);
  const file = path.join(folder, 'model.gguf');
  writeFileSync(file, readFileSync(defaultModel));
  const { code, err } = halfbyte(['quantize', file, path.join(folder, '.', 'model.gguf'),
    '--type', 'q8_0']);
  assert.equal(code, 1);
  assert.match(err, /input/);
  assert.ok(readFileSync(file).equals(readFileSync(defaultModel)));
});

test('calibrate writes a file that quantize takes instead of text',
  needs('models/tales-5.8m/tales-5.8m-f32.gguf', 'text/tales-calibration.txt'), (t) => {
    const folder = temporaryFolder(t);
    const [from, text] = [shared('models/tales-5.8m/tales-5.8m-f32.gguf'), shared('text/tales-calibration.txt')];
    const [measured, plain, weighted] = ['m', 'p', 'w'].map((name) => path.join(folder, `${name}.gguf`));
    const { code, out, err } = halfbyte([
      'calibrate', from, '--calibration', text, '--calibration-samples', '2',
      '--calibration-length', '64', '-o', measured,
    ]);
    assert.equal(code, 0, err);
    assert.match(out, /inputs measured over 2 pieces of 64 tokens/);
    const quantize = (file, ...more) => halfbyte(['quantize', from, file, '--type', 'q4_0', ...more]);
    assert.equal(quantize(plain).code, 0);
    const done = quantize(weighted, '--imatrix', measured);
    assert.equal(done.code, 0, done.err);
    assert.equal(done.out.split('\n').length, 2, 'nothing to note');
    assert.ok(!readFileSync(plain).equals(readFileSync(weighted)));
    assert.equal(halfbyte(['run', '-m', weighted, '-n', '5']).code, 0);
    const refused = quantize(`${plain}.2`, '--imatrix', from);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /this is no importance file/);
    assert.match(quantize(measured, '--imatrix', measured).err, /is an input file/);
  });

test('calibrate reads JSON Lines as the texts that they hold, and names a line that is wrong',
  needs('models/tales-5.8m/tales-5.8m-f32.gguf', 'text/tales-calibration.txt'), (t) => {
    const folder = temporaryFolder(t);
    const from = shared('models/tales-5.8m/tales-5.8m-f32.gguf');
    const lines = readFileSync(shared('text/tales-calibration.txt'), 'utf8').slice(0, 40000).split('\n');
    const plain = path.join(folder, 'a.txt');
    const json = path.join(folder, 'a.jsonl');
    const measure = (text, ...more) => {
      const file = path.join(folder, 'measured.gguf');
      const { code, err } = halfbyte([
        'calibrate', from, '--calibration', path.basename(text), '--calibration-samples', '2',
        '--calibration-length', '32', '-o', file, ...more,
      ], { cwd: folder });
      // What stands behind the names of the texts, which differ.
      return { code, err, sums: code === 0 ? readFileSync(file).subarray(-4096).toString('hex') : '' };
    };
    writeFileSync(plain, `${lines.join('\n')}\n`);
    const forms = [(s) => s, (text) => ({ text }), (prompt) => ({ id: 1, prompt })];
    writeFileSync(json, `${lines.map((s, i) => JSON.stringify(forms[i % 3](s))).join('\r\n')}\n\n`);
    const { sums, err } = measure(plain);
    assert.ok(sums, err);
    assert.equal(measure(json).sums, sums);

    const drawn = measure(plain, '--calibration-seed', '1').sums;
    assert.notEqual(drawn, sums);
    assert.equal(measure(plain, '--calibration-seed', '1').sums, drawn);
    assert.notEqual(measure(plain, '--calibration-seed', '2').sums, drawn);
    const all = (...more) => measure(plain, '--calibration-samples', '100000', ...more).sums;
    assert.equal(all('--calibration-seed', '3'), all(), 'there are no others to draw');

    for (const wrong of ['{"texts": "a"}', '"a', '[1]']) {
      writeFileSync(json, `"fine"\n\n${wrong}\n`);
      const refused = measure(json);
      assert.equal(refused.code, 1);
      assert.match(refused.err, /a\.jsonl, line 3: /);
    }
    writeFileSync(json, '"short"\n');
    assert.match(measure(json).err, /has \d tokens; at least 4096 are needed/);
  });

test('quantize says that types of fewer than 4 bits are experimental', needs('vectors/quant/f32.gguf'), (t) => {
  const file = path.join(temporaryFolder(t), 'model.gguf');
  const quantize = (...more) => halfbyte(['quantize', shared('vectors/quant/f32.gguf'), file, ...more]).out;
  assert.match(
    quantize('--type', 'q4_0', '--tensor', 'ffn_down=q2_k'),
    /^experimental: Q2_K has fewer than 4 bits a value/m,
  );
  for (const type of ['q4_0', 'q4_k', 'iq4_xs', 'nf4'])
    assert.doesNotMatch(quantize('--type', type), /experimental/, type);
});

// ---- synth ----

const tinyShape = '256,2,4,2,512,1000';

test('synth writes a model that inspect and run take', (t) => {
  const file = path.join(temporaryFolder(t), 'model.gguf');
  const made = halfbyte(['synth', '--shape', tinyShape, '--type', 'q4_k_m', '-o', file]);
  assert.equal(made.code, 0, made.err);
  assert.equal(made.err, '');
  assert.match(made.out, /^[\d.]+ KiB written\n$/);
  const { out } = halfbyte(['inspect', file]);
  assert.match(out, /^width +256, feed forward 512$/m);
  assert.match(out, /^ {2}Q4_K +\d+, /m);
  assert.match(out, /^ {2}Q6_K +\d+, /m);
  const { code, err } = halfbyte(['run', '-m', file, '-p', 'hello', '-n', '10', '--ignore-eos']);
  assert.equal(code, 0, err);
  assert.match(err, /generated 10 tokens/);
});

test('inspect and run take types of halfbyte\'s own', (t) => {
  const file = path.join(temporaryFolder(t), 'model.gguf');
  const made = halfbyte(['synth', '--shape', tinyShape, '--type', 'table3', '-o', file]);
  assert.equal(made.code, 0, made.err);
  const { out } = halfbyte(['inspect', file, '--tensors', '--keys']);
  assert.match(out, /^architecture +halfbyte-llama$/m);
  assert.match(out, /^parameters +1\.44 M/m);
  assert.match(out, /^bits\/weight +3\.\d+$/m);
  assert.match(out, /^ {2}TABLE3 +15, /m);
  assert.match(out, /^ {2}TABLE3 +106 x 128 .* blk\.0\.attn_k\.weight$/m);
  assert.match(out, /^ {2}halfbyte\.features = 1 \["table3"\]$/m);
  const { code, err } = halfbyte(['run', '-m', file, '-p', 'hello', '-n', '10', '--ignore-eos']);
  assert.equal(code, 0, err);
});

test('synth takes a seed, which is 1 as a rule', (t) => {
  const folder = temporaryFolder(t);
  const made = (name, ...more) => {
    const file = path.join(folder, name);
    assert.equal(halfbyte(['synth', '--shape', tinyShape, '-o', file, ...more]).code, 0);
    return readFileSync(file);
  };
  const first = made('first.gguf');
  assert.ok(first.equals(made('again.gguf', '--seed', '1', '--type', 'q4_0')));
  assert.ok(!first.equals(made('other.gguf', '--seed', '2')));
});

test('synth --outliers writes the model with outliers, and the model is as good', (t) => {
  const folder = temporaryFolder(t);
  const file = path.join(folder, 'model.gguf');
  const other = path.join(folder, 'other.gguf');
  const made = (out, ...more) => halfbyte(['synth', '--outliers', defaultModel, '-o', out, ...more]);
  assert.deepEqual(made(file), { code: 0, signal: null, out: '', err: '' });
  assert.match(halfbyte(['inspect', file]).out, /^ {2}F32 +\d+, /m);
  assert.equal(made(other, '--seed', '2').code, 0);
  assert.ok(!readFileSync(file).equals(readFileSync(other)));
  const { code, err } = made(defaultModel);
  assert.equal(code, 1);
  assert.match(err, /is an input file; give another name to write/);
});

// ---- hostile files ----

function hostileFiles(model) {
  const changed = (edit) => {
    const copy = Buffer.from(model);
    edit(copy);
    return copy;
  };
  return {
    empty: Buffer.alloc(0),
    'a text': Buffer.from('Once upon a time'),
    'no magic': changed((b) => b.write('GGML', 0)),
    'version 99': changed((b) => b.writeUInt32LE(99, 4)),
    'too many tensors': changed((b) => b.writeBigUInt64LE(1n << 60n, 8)),
    'too many keys': changed((b) => b.writeBigUInt64LE(1n << 60n, 16)),
    'a key without end': changed((b) => b.writeBigUInt64LE(~0n & ((1n << 64n) - 1n), 24)),
    'half a header': model.subarray(0, 5000),
    'half the tensors': model.subarray(0, model.length >> 1),
    'all but a byte': model.subarray(0, model.length - 1),
  };
}

for (const name of Object.keys(hostileFiles(Buffer.alloc(64)))) {
  test(`a file with ${name} fails with a sentence`, (t) => {
    const file = path.join(temporaryFolder(t), 'model.gguf');
    writeFileSync(file, hostileFiles(readFileSync(defaultModel))[name]);
    for (const args of [['run', '-m', file, '-n', '1'], ['quantize', file, `${file}.out`, '--type', 'q8_0']]) {
      const { code, signal, out, err } = halfbyte(args);
      assert.equal(signal, null);
      assert.equal(code, 1);
      assert.equal(out, '');
      assert.match(err, /^halfbyte: .*model\.gguf: .+\n$/);
    }
    assert.equal(existsSync(`${file}.out`), false);
    const { signal } = halfbyte(['inspect', file]);
    assert.equal(signal, null);
  });
}

test('files that are not there, folders and shards are named', (t) => {
  const folder = temporaryFolder(t);
  const missing = path.join(folder, 'missing.gguf');
  assert.match(halfbyte(['run', '-m', missing]).err, /cannot open .*missing\.gguf: No such file/);
  assert.match(halfbyte(['inspect', folder]).err, /the folder has no config\.json/);
  const second = halfbyte(['inspect', path.join(folder, 'model-00002-of-00003.gguf')]);
  assert.equal(second.code, 1);
  assert.match(second.err, /file 2 of a split model/);
  const first = path.join(folder, 'model-00001-of-00002.gguf');
  writeFileSync(first, readFileSync(defaultModel));
  const whole = halfbyte(['run', '-m', first]);
  assert.equal(whole.code, 1);
  assert.match(whole.err, /one of 1, its name says one of 2/);
});
