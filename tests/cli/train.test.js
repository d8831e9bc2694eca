// Runs of training: what a folder holds, and that a killed run comes to the same end.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { halfbyte, needs, program, shared, temporaryFolder } from './support.js';

const story = (i) =>
  `Once upon a time there was cat number ${i}. It ate ${(i * 7) % 10} mice, and slept.`;
const stories = Array.from({ length: 40 }, (_, i) => story(i));
const files = ['checkpoint.gguf', 'log.jsonl', 'model.gguf', 'training.html'];

/** A folder with a small random model, a text, and the arguments of a run there. */
function setUp(t, type = 'f32') {
  const folder = temporaryFolder(t);
  const at = (name) => path.join(folder, name);
  const shape = type === 'f32' ? '32,1,2,1,64,300' : '64,1,2,1,128,300';
  succeed(['synth', '-o', at('begin.gguf'), '--shape', shape, '--type', type]);
  writeFileSync(at('text.txt'), stories.join('\n\n\n'));
  writeFileSync(at('other.txt'), story(99));
  const small = ['--sequences', '2', '--length', '32', '--rate', '1e-2', '-t', '1'];
  const train = (out, ...more) => [
    ...[
      'train',
      '--init',
      at('begin.gguf'),
      '--data',
      at('text.txt'),
      '--out',
      at(out),
      ...small,
      ...more,
    ],
  ];
  return { at, train, small };
}

function succeed(args) {
  const { code, out, err } = halfbyte(args);
  assert.equal(code, 0, err);
  return out;
}

const readLog = (file) =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
/** What a log tells but times. */
const withoutTimes = (file) => readLog(file).map(({ seconds, ...rest }) => rest);

test('a run learns, and says how', (t) => {
  const { at, train } = setUp(t);
  const out = succeed(
    train('run', '--steps', '60', '--save-every', '30', '--validation', at('other.txt')),
  );
  assert.match(out, /^40 documents, \d+ tokens$/m);
  assert.match(
    out,
    /^step 60\/60 {2}loss \d\.\d{4} {2}norm \S+ {2}rate \S+ {2}\d+ tokens\/s {2}0 s left$/m,
  );
  assert.deepEqual(
    [...out.matchAll(/^step (\d+) {2}validation/gm)].map(([, n]) => n),
    ['0', '30', '60'],
  );
  assert.deepEqual(readdirSync(at('run')).sort(), files);
  const [{ run }, ...lines] = readLog(at('run/log.jsonl'));
  assert.deepEqual([run.method, run.steps, run.documents], ['full', 60, 40]);
  const steps = lines.filter(({ loss }) => loss !== undefined);
  assert.deepEqual(
    steps.map(({ step }) => step),
    Array.from({ length: 60 }, (_, i) => i + 1),
  );
  assert.equal(steps[59].tokens, 60 * 64);
  const measured = lines.filter(({ validation }) => validation !== undefined);
  assert.ok(measured[2].validation < measured[0].validation - 1, JSON.stringify(measured));
  assert.match(
    succeed(['run', '-m', at('run/model.gguf'), '-p', 'Once', '-n', '4', '--temp', '0']),
    /./,
  );
});

/** Runs a command and kills it as soon as `moment` is there; false: it ended before. */
async function killAt(args, moment) {
  const child = spawn(program, args, { stdio: 'ignore' });
  const closed = once(child, 'close');
  while (child.exitCode === null && !moment()) await sleep(1);
  child.kill('SIGKILL');
  const [, signal] = await closed;
  return signal === 'SIGKILL';
}
const sizeOf = (file) => statSync(file, { throwIfNoEntry: false })?.size ?? 0;

test('the z-loss is a part of the loss, and keeps logits small', (t) => {
  const { at, train } = setUp(t);
  succeed(train('plain', '--steps', '40'));
  succeed(train('small', '--steps', '40', '--z-loss', '0.1'));
  const [plain, small] = ['plain', 'small'].map((out) => readLog(at(`${out}/log.jsonl`)).slice(1));
  assert.ok(plain.every(({ loss, entropy }) => loss === entropy));
  assert.equal(small[0].entropy, plain[0].entropy);
  const part = ({ loss, entropy }) => loss - entropy; // W times the square
  assert.ok(part(small[0]) > 1, `${part(small[0])}`);
  assert.ok(part(small.at(-1)) < 0.5 * part(small[0]));
});

test('killed at any moment, a run that is resumed comes to the same end', async (t) => {
  const { at, train } = setUp(t);
  const rest = ['--steps', '300', '--save-every', '10', '--validation', at('other.txt')];
  succeed(train('whole', ...rest));
  const resumed = train('part', ...rest, '--resume');
  const has = (name) => existsSync(at(`part/${name}`));
  const moments = [
    () => sizeOf(at('part/log.jsonl')) > 0,
    () => has('checkpoint.gguf.unfinished'),
    () => has('training.html.unfinished'),
    ...[20, 45, 91].map((step) => () => sizeOf(at('part/log.jsonl')) > 150 * step),
    () => has('model.gguf.unfinished.journal'),
  ];
  let kills = 0;
  for (const moment of moments) kills += await killAt(resumed, moment);
  assert.ok(kills >= 5, String(kills));
  succeed(resumed);
  assert.ok(readFileSync(at('part/model.gguf')).equals(readFileSync(at('whole/model.gguf'))));
  assert.deepEqual(withoutTimes(at('part/log.jsonl')), withoutTimes(at('whole/log.jsonl')));
  assert.deepEqual(readdirSync(at('part')).sort(), files);
});

test('a log that ran ahead of the checkpoint, and broke off, is cut back to it', (t) => {
  const { at, train } = setUp(t);
  const rest = ['--steps', '6', '--save-every', '2'];
  succeed(train('run', ...rest));
  const model = readFileSync(at('run/model.gguf'));
  const log = at('run/log.jsonl');
  const whole = withoutTimes(log);
  for (const more of ['{"step":7,"tokens":1,"loss":1}\n', '{"step":7,"tok', '{"st']) {
    writeFileSync(log, more, { flag: 'a' });
    assert.match(succeed(train('run', ...rest, '--resume')), /^goes on after step 6$/m);
    assert.deepEqual(withoutTimes(log), whole);
  }
  assert.ok(readFileSync(at('run/model.gguf')).equals(model));
  truncateSync(at('run/checkpoint.gguf'), 1000);
  const { code, err } = halfbyte(train('run', ...rest, '--resume'));
  assert.equal(code, 1);
  assert.match(err, /checkpoint\.gguf/);
});

test('a folder is that of one run', async (t) => {
  const { at, train } = setUp(t);
  const refuse = (sentence, args) => {
    const { code, err } = halfbyte(args);
    assert.equal(code, 1, err);
    assert.match(err, sentence);
  };
  assert.match(succeed(train('run', '--steps', '2', '--resume')), /has no checkpoint: begins anew/);
  const kept = readFileSync(at('run/checkpoint.gguf'));
  refuse(/run has the checkpoint of a run: --resume goes on with it/, train('run', '--steps', '2'));
  refuse(
    /of another run: its options, model or text differ/,
    train('run', '--steps', '3', '--resume'),
  );
  refuse(/of another run/, train('run', '--steps', '2', '--resume', '--seed', '2'));
  assert.ok(readFileSync(at('run/checkpoint.gguf')).equals(kept));
  mkdirSync(at('models'));
  writeFileSync(at('models/model.gguf'), readFileSync(at('begin.gguf')));
  refuse(/has a model\.gguf already/, train('models', '--steps', '2', '--resume'));
  refuse(/cannot make the folder .*text\.txt: /, train('text.txt', '--steps', '2'));

  const child = spawn(program, train('busy', '--steps', '1000000'), { stdio: 'ignore' });
  while (sizeOf(at('busy/log.jsonl')) === 0 && child.exitCode === null) await sleep(5);
  refuse(/another run is writing/, train('busy', '--steps', '1000000', '--resume'));
  child.kill('SIGTERM');
  const [code] = await once(child, 'close');
  assert.equal(code, 1);
  assert.ok(sizeOf(at('busy/checkpoint.gguf')) > 0, 'what is done is kept');
  assert.ok(!existsSync(at('busy/model.gguf')));
});

test('texts are cut into documents as people write them', (t) => {
  const { at, train } = setUp(t);
  const count = (name, content) => {
    writeFileSync(at(name), content);
    const args = train('run', '--steps', '1', '--validation', at(name)).with(4, at(name));
    args[args.indexOf('--out') + 1] = at(`run-${name}`);
    const { code, out, err } = halfbyte(args);
    return code === 0
      ? out
          .match(/^(\d+) documents, (\d+) tokens/m)
          .slice(1)
          .map(Number)
      : err;
  };
  const a = 'A cat slept here, and then another.';
  const [, one] = count('one.txt', a);
  for (const [name, content, documents = 2] of [
    ['empty-lines', `${a}\n\n\n${a}\n`],
    ['many-empty-lines', `\n\n\n\n\n${a}\n\n\n\n\n\n${a}\n\n\n\n`],
    ['windows', `\ufeff${a}\r\n\r\n\r\n${a}\r\n`],
    ['marks', `${a}\n<|endoftext|>\n${a}\n<|endoftext|>\n`],
    ['marks-inside', `${a}<|endoftext|>${a}<|endoftext|>`],
    ['spaces', `${a}\n\n\n   \n\n\n${a}\n\n\n \t\n`],
  ])
    assert.deepEqual(count(`${name}.txt`, content), [documents, 2 * one], name);
  assert.equal(count('paragraphs.txt', `${a}\n\n${a}`)[0], 1);
  assert.equal(count('marked-paragraphs.txt', `${a}\n\n\n${a}<|endoftext|>${a}`)[0], 2);
  assert.deepEqual(
    count('lines.jsonl', `${JSON.stringify({ text: a })}\r\n\n${JSON.stringify(a)}`),
    [2, 2 * one],
  );
  assert.match(
    count('bad.jsonl', `"${a}"\n{"text": 1}\n`),
    /bad\.jsonl, line 2: neither a string nor an object/,
  );
  assert.match(count('worse.jsonl', `"${a}"\n\n{"text": `), /worse\.jsonl, line 3: /);
  for (const nothing of ['', '\n\n\n\n', '\r\n \r\n\t\r\n', '<|endoftext|>\n<|endoftext|>'])
    assert.match(count('nothing.txt', nothing), /nothing\.txt has no text\n.*there is no text/s);
});

test('finetune trains a quantized model, and exports what it trained', (t) => {
  const { at, small } = setUp(t, 'q4_0');
  const args = (out, ...more) => [
    ...[
      'finetune',
      at('begin.gguf'),
      '--data',
      at('text.txt'),
      '--out',
      at(out),
      '--steps',
      '8',
      ...small,
      ...more,
    ],
  ];
  for (const method of ['qat', 'e2e-qp']) {
    succeed(args(method, '--method', method));
    const types = succeed(['inspect', at(`${method}/model.gguf`), '--tensors']);
    assert.match(types, /Q4_0/);
    const [{ run }, , ...steps] = readLog(at(`${method}/log.jsonl`));
    assert.equal(run.method, method);
    assert.ok(steps.at(-1).loss < steps[0].loss);
  }
});

test('layers are trained one by one, then scales and tables together', (t) => {
  const { at } = setUp(t);
  const small = ['--sequences', '2', '--length', '32', '--rate', '1e-3', '-t', '1'];
  succeed(['quantize', at('begin.gguf'), at('q.gguf'), '--type', 'q4_1', '--method', 'rtn']);
  const run = (model, out, ...more) => {
    const texts = ['--data', at('text.txt'), '--original', at('begin.gguf')];
    succeed(['finetune', model, ...texts, '--steps', '8', ...small, '--out', at(out), ...more]);
    return readLog(at(`${out}/log.jsonl`)).filter(({ loss }) => loss !== undefined);
  };
  for (const method of ['block-ap', 'autoround', 'lkd']) {
    const steps = run(at('q.gguf'), method, '--method', method, '--samples', '2');
    assert.equal(steps.at(-1).layer, 1);
    assert.ok(steps.at(-1).loss < steps[0].loss, method);
  }
  const from = at('block-ap/model.gguf');
  const steps = run(from, 'e2e-qp', '--method', 'e2e-qp', '--tables', '--teacher', '1');
  assert.ok(steps.at(-1).loss < steps[0].loss);
});

const pieces = 'models/tales-5.8m/hf/tokenizer.model';
const sample = 'text/tinystories-sample.txt';

/** Entropy of a token where nothing but how often each comes is known. */
function unigramEntropy(ids) {
  const counts = new Map();
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
  return [...counts.values()].reduce(
    (sum, n) => sum - (n / ids.length) * Math.log(n / ids.length),
    0,
  );
}

test('a configuration becomes a model', needs(pieces, sample), (t) => {
  const folder = temporaryFolder(t);
  const at = (name) => path.join(folder, name);
  mkdirSync(at('new'));
  copyFileSync(shared(pieces), at('new/tokenizer.model'));
  const config = {
    ...{
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      vocab_size: 4096,
      hidden_size: 48,
    },
    ...{
      intermediate_size: 96,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      num_key_value_heads: 1,
    },
    ...{
      max_position_embeddings: 64,
      rms_norm_eps: 1e-5,
      rope_theta: 10000,
      tie_word_embeddings: true,
    },
    ...{ hidden_act: 'silu', bos_token_id: 1, eos_token_id: 2 },
  };
  writeFileSync(at('new/config.json'), JSON.stringify(config));
  const text = readFileSync(shared(sample), 'utf8').slice(0, 40_000);
  writeFileSync(at('text.txt'), text);
  const train = (init, out, steps) => [
    ...[
      'train',
      '--init',
      at(init),
      '--data',
      at('text.txt'),
      '--out',
      at(out),
      '--steps',
      String(steps),
    ],
    ...['--sequences', '4', '--length', '64', '--rate', '1e-2', '--rate-end', '0.1', '-t', '2'],
  ];
  const losses = (out) =>
    readLog(at(`${out}/log.jsonl`))
      .slice(1)
      .map(({ loss }) => loss);

  assert.match(succeed(train('new', 'run', 120)), /new: weights begin at random/);
  const own = losses('run');
  assert.ok(Math.abs(own[0] - Math.log(4096)) < 0.1, `${own[0]}`);
  const ids = succeed(['tokenize', '-m', at('run/model.gguf'), text, '--ids'])
    .trim()
    .split(/[ ,]+/);
  const unigram = unigramEntropy(ids);
  const end = own.slice(-20).reduce((a, b) => a + b) / 20;
  assert.ok(end < unigram - 0.3, `${end}, unigram entropy ${unigram}`);

  succeed(train('new/config.json', 'same', 2));
  succeed([...train('new', 'other', 2), '--seed', '2']);
  assert.equal(losses('same')[0], own[0]);
  assert.notEqual(losses('other')[0], own[0]);

  const quantize = (from) => halfbyte(['quantize', at(from), at('q8_0.gguf'), '--type', 'q8_0']);
  assert.notEqual(quantize('new').code, 0, 'a folder that lacks its weights is no beginning');
  assert.equal(quantize('new/config.json').code, 0);
  const more = train('', 'rounded', 2).filter((word) => word !== '--init' && word !== at(''));
  succeed(['finetune', at('q8_0.gguf'), '--method', 'qat', ...more.slice(1)]);
  assert.ok(Math.abs(losses('rounded')[0] - own[0]) < 0.01, 'the same weights, but for rounding');
  writeFileSync(at('new/config.json'), JSON.stringify({ ...config, hidden_size: 47 }));
  const { code, err } = halfbyte(train('new', 'wrong', 2));
  assert.equal(code, 1);
  assert.match(err, /new: .*config\.json: /);
  mkdirSync(at('mute'));
  writeFileSync(at('mute/config.json'), JSON.stringify(config));
  assert.match(halfbyte(train('mute', 'none', 2)).err, /no tokenizer to read text with/);
});
