// The same bits as the native program, for every variant, number of threads and split.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { capabilities, load } from '../../web/index.js';
import { parityHash } from '../../web/parity.js';
import { PROMPT, collect, modelPath, native, nativeProgram, needs } from './support.js';

const TOKENS = [1, 450, 29, 3, 77, 500, 12, 1000, 8, 15, 2000, 42, 7, 7, 7, 300, 301, 302, 5, 9];

const isas = ['scalar', 'simd128', ...(capabilities().relaxedSimd.available ? ['relaxed'] : [])];

async function withModel(options, body) {
  const model = await load(modelPath, options);
  try {
    return await body(model);
  } finally {
    await model.dispose();
  }
}

describe('logits', () => {
  test('equal the native ones on every instruction set', needs(nativeProgram), async () => {
    for (const kv of ['f16', 'f32']) {
      const expected = await native(
        ...['parity', '-m', modelPath, '--tokens', TOKENS.join(','), '--isa', 'scalar', '--kv', kv],
      );
      for (const isa of isas) {
        const options = { isa, kv, threads: 1 };
        const hash = await withModel(options, async (model) =>
          parityHash(await model.logits(TOKENS)),
        );
        assert.equal(hash, expected, `${isa}, ${kv}`);
      }
    }
  });

  test('do not depend on threads or on how the tokens are split', async () => {
    const hashes = new Set();
    for (const threads of [1, 2, 3]) {
      await withModel({ threads, divideAll: true }, async (model) => {
        assert.equal(model.info.threads, threads);
        for (const split of ['whole', 'pieces', 'single'])
          hashes.add(await parityHash(await model.logits(TOKENS, { split })));
      });
    }
    assert.equal(hashes.size, 1);
  });
});

test('a seed gives the same text on every instruction set and number of threads', async () => {
  const options = { seed: 11, temperature: 0.9, maxTokens: 40 };
  const texts = new Set();
  for (const isa of isas)
    for (const threads of [1, 2])
      texts.add(
        await withModel({ isa, threads, divideAll: true }, (model) => collect(model.generate(PROMPT, options))),
      );
  assert.equal(texts.size, 1);
});

test('the native program tells the same story for a seed', needs(nativeProgram), async () => {
  const options = { seed: 5, temperature: 0.8, maxTokens: 60 };
  const text = await withModel({}, (model) => collect(model.generate(PROMPT, options)));
  const expected = await native(
    ...['run', '-m', modelPath, '-p', PROMPT, '-n', '60', '--seed', '5', '--temp', '0.8'],
  );
  assert.equal(text.trim(), expected);
});
