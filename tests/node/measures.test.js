// Perplexity, and the divergence of a model from another.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { AbortError, ArgumentError, defaultModel, load } from '../../web/index.js';
import { modelPath, native, nativeProgram, needs, root, shared } from './support.js';

const CORPUS = `${shared}/text/tales-val.txt`;
const ORIGINAL = `${shared}/models/tales-5.8m/tales-5.8m-f32.gguf`;

/** English that is there everywhere. */
const TEXT = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8');

describe('perplexity', () => {
  let model;
  before(async () => (model = await load(defaultModel)));
  after(() => model.dispose());

  test('is the number of the native program', needs(nativeProgram, CORPUS), async () => {
    const folder = mkdtempSync(join(tmpdir(), 'halfbyte-test-'));
    const file = join(folder, 'text.txt');
    try {
      const text = readFileSync(CORPUS, 'utf8').slice(0, 20000);
      writeFileSync(file, text);
      for (const context of [100, 128, 513]) {
        const told = await native('perplexity', '-m', modelPath, '-f', file, '--ctx', `${context}`);
        const found = await model.perplexity(text, { context });
        const { perplexity, standardError, chunks, tokens } = found;
        assert.equal(
          `PPL = ${perplexity.toFixed(4)} +- ${standardError.toFixed(5)} ` +
            `(${chunks} chunks of ${context}, ${tokens} tokens scored)`,
          told,
        );
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('is what the logits of the chunks give', async () => {
    const context = 64;
    const tokens = await model.tokenize(TEXT.trimEnd());
    const { vocabulary, tokenizer } = model.info;
    let [sum, count] = [0, 0];
    for (let chunk = 0; chunk < 3; chunk++) {
      const part = tokens.slice(chunk * context, (chunk + 1) * context);
      if (tokenizer.addsBos) part[0] = tokenizer.bos;
      const logits = await model.logits(part);
      for (let i = context / 2; i + 1 < context; i++, count++) {
        const row = logits.subarray(i * vocabulary, (i + 1) * vocabulary);
        const most = row.reduce((a, b) => Math.max(a, b));
        const all = row.reduce((total, logit) => total + Math.exp(logit - most), 0);
        sum += most + Math.log(all) - row[part[i + 1]];
      }
    }
    const found = await model.perplexity(TEXT, { context, chunks: 3 });
    assert.equal(found.tokens, count);
    assert.equal(found.chunks, 3);
    assert.ok(Math.abs(found.perplexity / Math.exp(sum / count) - 1) < 1e-6);
  });

  test('tells its progress, and can be aborted', async () => {
    const progress = [];
    const { chunks } = await model.perplexity(TEXT, {
      context: 128,
      onProgress: ({ loaded, total }) => progress.push({ loaded, total }),
    });
    assert.deepEqual(progress.at(-1), { loaded: chunks * 128, total: chunks * 128 });
    const stop = new AbortController();
    const onProgress = () => stop.abort();
    await assert.rejects(model.perplexity(TEXT, { signal: stop.signal, onProgress }), AbortError);
  });

  test('of a short text has two chunks of half of it', async () => {
    const text = TEXT.slice(0, 700);
    const { length } = await model.tokenize(text);
    const { context, chunks, perplexity } = await model.perplexity(text);
    assert.deepEqual([context, chunks], [Math.floor(length / 2), 2]);
    assert.equal((await model.perplexity(text, { context })).perplexity, perplexity);
    assert.equal((await model.perplexity(TEXT, { chunks: 1 })).context, 512);
  });

  test('of a text that is too short says how long it must be', async () => {
    await assert.rejects(model.perplexity('Once upon a time', { context: 512 }), (error) => {
      assert.ok(error instanceof ArgumentError);
      return /takes at least 1024/.test(error.message);
    });
    await assert.rejects(model.perplexity('Once'), /takes at least 8/);
    await assert.rejects(model.perplexity(TEXT, { context: 3 }), ArgumentError);
    await assert.rejects(model.perplexity(7), ArgumentError);
  });
});

/** The divergences of one chunk, from all its logits. */
function divergences(own, reference, vocabulary, context) {
  const values = [];
  let same = 0;
  for (let i = context / 2; i + 1 < context; i++) {
    const rows = [reference, own].map((all) => {
      const row = Array.from(all.subarray(i * vocabulary, (i + 1) * vocabulary));
      const most = row.reduce((a, b) => Math.max(a, b));
      const sum = row.reduce((total, logit) => total + Math.exp(logit - most), 0);
      return { logs: row.map((logit) => logit - most - Math.log(sum)), top: row.indexOf(most) };
    });
    const [{ logs: p, top: first }, { logs: q, top: second }] = rows;
    values.push(p.reduce((sum, each, k) => sum + Math.exp(each) * (each - q[k]), 0));
    if (first === second) same++;
  }
  return { values: values.sort((a, b) => a - b), same };
}

describe('comparing', () => {
  let model;
  before(async () => (model = await load(defaultModel)));
  after(() => model.dispose());

  test('a model with itself finds no difference', async () => {
    const found = await model.compare(model, TEXT, { context: 64, chunks: 2 });
    assert.equal(found.meanKl, 0);
    assert.equal(found.maxKl, 0);
    assert.equal(found.sameTop, 1);
    assert.equal(found.perplexity, found.referencePerplexity);
    const { perplexity } = await model.perplexity(TEXT, { context: 64, chunks: 2 });
    assert.ok(Math.abs(found.perplexity / perplexity - 1) < 1e-6);
  });

  test('a quantized model with its original finds what all logits give', needs(ORIGINAL), async () => {
    const context = 128;
    const original = await load(ORIGINAL);
    try {
      const progress = [];
      const onProgress = ({ loaded, total }) => progress.push({ loaded, total });
      const found = await model.compare(original, TEXT, { context, chunks: 1, onProgress });
      assert.deepEqual(progress.at(-1), { loaded: context, total: context });
      const tokens = (await model.tokenize(TEXT.trimEnd())).slice(0, context);
      const { vocabulary } = model.info;
      const [own, reference] = await Promise.all([model.logits(tokens), original.logits(tokens)]);
      const { values, same } = divergences(own, reference, vocabulary, context);
      const near = (a, b) => assert.ok(Math.abs(a - b) < 1e-6 + 1e-4 * b, `${a} ${b}`);
      assert.equal(found.tokens, values.length);
      near(found.meanKl, values.reduce((a, b) => a + b, 0) / values.length);
      near(found.medianKl, values[(values.length - 1) / 2]);
      near(found.maxKl, values.at(-1));
      assert.equal(found.sameTop, same / values.length);
      assert.ok(found.medianKl < found.kl99 && found.kl99 <= found.maxKl);
      assert.ok(found.meanKl > 0 && found.meanKl < 0.5);
      assert.ok(found.sameTop > 0.7);
    } finally {
      await original.dispose();
    }
  });

  test('refuses models with other tokens, and goes on after an abort', async () => {
    const other = await load({ shape: '64,2,4,2,128,300' }, { threads: 1 });
    try {
      await assert.rejects(model.compare(other, TEXT, { context: 8 }), ArgumentError);
      await assert.rejects(model.compare({}, TEXT), ArgumentError);
    } finally {
      await other.dispose();
    }
    const stop = new AbortController();
    const options = { context: 64, signal: stop.signal, onProgress: () => stop.abort() };
    await assert.rejects(model.compare(model, TEXT, options), AbortError);
    assert.equal((await model.compare(model, TEXT, { context: 16, chunks: 1 })).sameTop, 1);
  });

  test('leaves no memory behind, however it ended', async () => {
    const bytes = async () => {
      const engine = await load(defaultModel, { threads: 1, contextLength: 64 });
      try {
        for (let i = 0; i < 30; i++) {
          const signal = AbortSignal.timeout(i);
          await engine.compare(engine, TEXT, { context: 128, signal }).catch(() => {});
          await engine.perplexity(TEXT, { context: 128, signal }).catch(() => {});
        }
        return (await engine.bench({ prompt: 1, generate: 1, repeat: 1 })).peakBytes;
      } finally {
        await engine.dispose();
      }
    };
    const { memoryBytes } = model.info;
    const used = await bytes();
    assert.ok(used < memoryBytes + 24e6, `${used} bytes, ${memoryBytes} of a model alone`);
  });
});
