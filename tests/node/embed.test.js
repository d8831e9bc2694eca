// Vectors of texts.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { AbortError, ArgumentError, ContextFullError, defaultModel, load } from '../../web/index.js';

const TEXTS = ['Once upon a time there was a king.', 'The wolf ate the goat', ''];
const raw = { normalize: false };

describe('embedding', () => {
  let model;
  before(async () => (model = await load(defaultModel, { threads: 1 })));
  after(() => model.dispose());

  test('gives a vector of length 1 and of the width of the model for each text', async () => {
    const vectors = await model.embed(TEXTS);
    assert.equal(vectors.length, TEXTS.length);
    for (const vector of vectors) {
      assert.ok(vector instanceof Float32Array);
      assert.equal(vector.length, model.info.width);
      assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-6);
    }
    assert.notDeepEqual(vectors[0], vectors[1]);
    assert.deepEqual(await model.embed([]), []);
  });

  test('pools the mean of the states that texts ending earlier have last', async () => {
    const tokens = await model.tokenize(TEXTS[0]);
    const beginnings = tokens.map((_, i) => tokens.slice(0, i + 1));
    const states = await model.embed(beginnings, { ...raw, pooling: 'last' });
    const [mean] = await model.embed([tokens], raw);
    mean.forEach((value, i) => {
      const expected = states.reduce((sum, state) => sum + state[i], 0) / states.length;
      assert.ok(Math.abs(value - expected) < 1e-5 * (1 + Math.abs(expected)));
    });
    const [last] = await model.embed([tokens], { ...raw, pooling: 'last' });
    assert.deepEqual(last, states.at(-1));
  });

  test('gives the same bits on every instruction set and with any number of threads', async () => {
    const expected = await model.embed(TEXTS, raw);
    for (const options of [
      { isa: 'scalar', threads: 1 },
      { isa: 'simd128', threads: 1 },
      { threads: 2, divideAll: true },
    ]) {
      const other = await load(defaultModel, options);
      assert.deepEqual(await other.embed(TEXTS, raw), expected, JSON.stringify(options));
      await other.dispose();
    }
  });

  test('of a long text is that of its tokens, in whatever steps they are read', async () => {
    const tokens = Array.from({ length: 400 }, (_, i) => (i * 37 + 300) % model.info.vocabulary);
    const progress = [];
    const [long, short] = await model.embed([tokens, tokens.slice(0, 3)], {
      ...raw,
      pooling: 'last',
      onProgress: ({ loaded, total }) => progress.push([loaded, total]),
    });
    assert.deepEqual(progress.at(-1), [403, 403]);
    assert.deepEqual((await model.embed([tokens.slice(0, 3)], { ...raw, pooling: 'last' }))[0], short);
    assert.notDeepEqual(long, short);
  });

  test('refuses what it cannot read, and says why', async () => {
    const { contextLength, vocabulary } = model.info;
    await assert.rejects(model.embed('a text'), ArgumentError);
    await assert.rejects(model.embed([[]]), ArgumentError);
    await assert.rejects(model.embed([[vocabulary]]), ArgumentError);
    await assert.rejects(model.embed(['a'], { pooling: 'max' }), ArgumentError);
    await assert.rejects(model.embed(['a', Array(contextLength + 1).fill(1)]), (error) => {
      assert.ok(error instanceof ContextFullError);
      return error.message.includes(`text 1 has ${contextLength + 1} tokens`);
    });
  });

  test('can be aborted', async () => {
    const stop = new AbortController();
    const signal = stop.signal;
    const texts = Array(50).fill(Array(500).fill(7));
    const running = model.embed(texts, { signal, onProgress: () => stop.abort() });
    await assert.rejects(running, AbortError);
    assert.equal((await model.embed(['a'])).length, 1);
  });
});
