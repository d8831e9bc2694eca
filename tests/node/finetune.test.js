// Adapters that are trained in WebAssembly.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { finetune, load } from '../../web/index.js';
import { documentsOf } from '../../web/train/texts.js';
import { serveFaulty } from './faulty.js';
import { cli, modelPath, native, nativeProgram, needs } from './support.js';

const names = ['king', 'cat', 'girl', 'fish', 'old man', 'queen'];
const story = (name) => `The ${name} had a little boat. It was red, and the sea was blue. `;
const documents = names.map((name) => story(name).repeat(2).trim());
const tiny = { steps: 2, sequences: 2, length: 16, threads: 1, rate: 1e-2 };

let folder;
const at = (name) => join(folder, name);
before(async () => (folder = await mkdtemp(join(tmpdir(), 'halfbyte-'))));
after(() => rm(folder, { recursive: true }));

const bytesOf = async (blob) => Buffer.from(await blob.arrayBuffer());
const train = (options, text = documents) => finetune(modelPath, text, { ...tiny, ...options });

test('an adapter makes its text likelier when it is loaded', async () => {
  const told = [];
  const how = { steps: 8, length: 32, validation: story('dog').repeat(3), validationEvery: 4 };
  const result = await train({ ...how, onStep: (step) => told.push(step) });
  const { losses, validation, adapter } = result;
  assert.equal(losses.length, 8);
  assert.ok(losses[7] < losses[0] - 0.5, losses.join());
  assert.deepEqual(
    validation.map(({ step }) => step),
    [0, 4, 8],
  );
  assert.ok(validation[2].loss < validation[0].loss - 0.5);
  assert.deepEqual([result.steps, result.stopped, result.documents], [8, false, 6]);
  assert.deepEqual([result.tokens, result.threads], [8 * 2 * 32, 1]);

  assert.deepEqual(
    told.map(({ step }) => step),
    [0, 1, 2, 3, 4, 5, 6, 7, 8],
  );
  assert.deepEqual(
    told.slice(1).map(({ loss }) => loss),
    losses,
  );
  assert.equal(told[4].validation, validation[1].loss);
  assert.ok(told[1].tokensPerSecond > 0 && told[1].secondsLeft > 0);

  const measure = async (lora) => {
    const model = await load(modelPath, { threads: 1, contextLength: 64, lora });
    const { perplexity } = await model.perplexity(story('dog').repeat(8), { window: 64 });
    await model.dispose();
    return perplexity;
  };
  assert.ok((await measure(adapter)) < 0.7 * (await measure([])));
});

test('an adapter depends on the seed, and on neither ISA nor threads', async () => {
  const some = { matrices: ['attn_q', 'ffn_down'], type: 'bf16', seed: 7n };
  const first = await bytesOf((await train(some)).adapter);
  const scalar = await train({ ...some, isa: 'scalar' });
  const divided = await train({ ...some, threads: 2 });
  assert.equal(divided.threads, 2);
  assert.ok(first.equals(await bytesOf(scalar.adapter)));
  assert.ok(first.equals(await bytesOf(divided.adapter)));
  assert.ok(!first.equals(await bytesOf((await train({ ...some, seed: 8 })).adapter)));
});

test('the native program trains on the same, but for rounding', needs(nativeProgram), async () => {
  await writeFile(at('text'), `\n\n ${documents.join('\r\n<|endoftext|>\n\n ')}\n`);
  const common = ['--steps', '3', '--sequences', '2', '--length', '16', '--rate', '1e-2'];
  const more = ['--rank', '4', '--alpha', '6', '--seed', '5', '--out', at('native')];
  await native('finetune', modelPath, '--method', 'lora', '--data', at('text'), ...common, ...more);
  const log = (await readFile(at('native/log.jsonl'), 'utf8')).trim().split('\n');
  const expected = log.map((line) => JSON.parse(line).loss).filter((loss) => loss !== undefined);
  const text = new File([await readFile(at('text'))], 'text');
  const { losses, adapter } = await train({ steps: 3, rank: 4, alpha: 6, seed: 5 }, text);
  assert.equal(expected.length, 3);
  for (const [i, loss] of losses.entries()) assert.ok(Math.abs(loss - expected[i]) < 1e-3);
  const { length } = await readFile(at('native/adapter.gguf'));
  assert.equal(adapter.size, length);
});

test('texts are cut into documents', async () => {
  const cut = (text) => documentsOf('it', text);
  assert.deepEqual(await cut('\uFEFFa\r\nb\r\n\r\n\r\nc \n\n'), ['a\nb', 'c ']);
  assert.deepEqual(await cut(' \n  a\n\n\nb<|endoftext|> \n<|endoftext|>c'), ['  a\n\n\nb', 'c']);
  assert.deepEqual(await cut(['a\n\n\nb', new Blob(['c\n\n\nd'])]), ['a\n\n\nb', 'c', 'd']);
  const lines = '"a"\n\n{"text":"b\\n\\n\\nc"}\n{"prompt":"d"}';
  assert.deepEqual(await cut(new File([lines], 'x.jsonl')), ['a', 'b\n\n\nc', 'd']);
});

describe('a run that ends early', () => {
  let server;
  before(async () => (server = await serveFaulty(await readFile(modelPath))));
  after(() => server.close());

  test('gives what was learned when it is stopped', async () => {
    const stop = new AbortController();
    const onStep = ({ step }) => step === 2 && stop.abort();
    const { steps, stopped, losses, adapter } = await train({
      steps: 500,
      onStep,
      stop: stop.signal,
    });
    assert.ok(stopped && steps >= 2 && steps < 500);
    assert.equal(losses.length, steps);
    await (await load(modelPath, { threads: 1, lora: adapter })).dispose();
  });

  test('leaves nothing when it is aborted', async () => {
    const signal = new AbortController();
    const onStep = () => signal.abort('enough');
    const options = { ...tiny, steps: 500, cache: at('cache'), onStep, signal: signal.signal };
    await assert.rejects(finetune(server.url, documents, options), { code: 'ABORTED' });
    const files = await readdir(at('cache'), { recursive: true });
    assert.deepEqual(
      files.filter((name) => name.endsWith('.part')),
      [],
    );
    const aborted = AbortSignal.abort();
    await assert.rejects(train({ signal: aborted }), { code: 'ABORTED' });
  });

  test('throws what a listener threw', async () => {
    const onStep = () => {
      throw new Error('not this');
    };
    await assert.rejects(train({ onStep }), /not this/);
  });
});

test('what cannot be is refused by name', async () => {
  const cases = [
    [{ steps: 0 }, /steps must be a number from 1/],
    [{ rank: 1.5 }, /rank must be a whole number/],
    [{ rate: 'fast' }, /rate must be a number/],
    [{ schedule: 'step' }, /schedule must be one of/],
    [{ type: 'q4_0' }, /type must be one of f32, f16, bf16/],
    [{ matrices: 'attn' }, /no layer has a matrix 'attn'/],
    [{ matrices: '' }, /a name is empty/],
    [{ length: 1e5 }, /make no or too many sequences|a sequence has 1 to/],
    [{ threads: 0 }, /threads must be/],
    [{ validation: 7 }, /validation is a text/],
  ];
  for (const [options, message] of cases)
    await assert.rejects(train(options), { code: 'ARGUMENT', message });
  await assert.rejects(train({}, ' \n'), { code: 'ARGUMENT', message: /the text is empty/ });
  await assert.rejects(train({}, null), { code: 'ARGUMENT', message: /the text is a text/ });
  await assert.rejects(finetune(at('none'), 'x', tiny), { code: 'IO', message: /none/ });
});

test('the command line trains', async () => {
  await writeFile(at('data.jsonl'), documents.map((text) => JSON.stringify({ text })).join('\n'));
  const small = ['--steps', '2', '--sequences', '2', '--length', '16', '--rate', '1e-2', '-t', '1'];
  const files = ['--data', at('data.jsonl'), '-o', at('adapter.gguf')];
  const { code, stdout, stderr } = await cli('finetune', modelPath, ...files, ...small);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^step 2 {2}loss \d.*\n.*adapter\.gguf: .* after 2 steps on 6 documents/);
  const expected = await bytesOf((await train({})).adapter);
  assert.ok(expected.equals(await readFile(at('adapter.gguf'))));
  const wrong = await cli('finetune', modelPath);
  assert.deepEqual([wrong.code, wrong.stderr.includes('--data')], [2, true]);
});
