// Known answers, and what a device is good for.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AbortError, ArgumentError, capabilities, plan, recommend, selfTest } from '../../web/index.js';
import { KNOWN_MODELS, sizesOf } from '../../web/known-models.js';
import { recommendFrom } from '../../web/recommend.js';
import { runSelfTest } from '../../web/selftest.js';
import { native, nativeProgram, modelPath, needs } from './support.js';

describe('the self-test', () => {
  test('passes here, on every variant', async () => {
    const { passed, checks, skipped } = await selfTest();
    assert.equal(passed, true, JSON.stringify(checks));
    const { relaxedSimd } = capabilities();
    const isas = ['scalar', 'simd128', ...(relaxedSimd.available ? ['relaxed'] : [])];
    assert.deepEqual([...new Set(checks.map(({ isa }) => isa))], isas);
    assert.deepEqual([...new Set(checks.map(({ threads }) => threads))], [1, 2]);
    assert.deepEqual(skipped.map(({ isa }) => isa), relaxedSimd.available ? [] : ['relaxed']);
  });

  test('knows the answers of the native program', needs(nativeProgram), async () => {
    const asked = { logits: undefined, text: '' };
    const model = {
      info: { isa: 'scalar', threads: 1, notes: [] },
      logits: async (tokens) => ((asked.logits = tokens), new Float32Array(1)),
      dispose: async () => {},
    };
    const { checks } = await runSelfTest(async () => model, {});
    const known = await native('parity', '-m', modelPath, '--tokens', asked.logits.join());
    assert.match(checks[0].reason, new RegExp(`not ${known}$`));
  });

  test('reports an engine that gives wrong answers, and one that breaks down', async () => {
    const wrong = await runSelfTest(async () => {
      throw new Error('broken');
    }, {});
    assert.equal(wrong.passed, false);
    assert.ok(wrong.checks.every(({ passed, reason }) => !passed && reason === 'broken'));
  });

  test('can be aborted', async () => {
    await assert.rejects(selfTest({ signal: AbortSignal.abort() }), AbortError);
  });
});

describe('a recommendation', () => {
  test('measures this device and says what is possible', async () => {
    const progress = [];
    const found = await recommend({
      speed: 0,
      onProgress: ({ loaded, total }) => progress.push(loaded / total),
    });
    assert.equal(progress.at(-1), 1);
    assert.equal(found.models.length, KNOWN_MODELS.length * found.measured.length);
    for (const { decode, prefill } of found.measured) assert.ok(decode > 0 && prefill > 0);
    for (const { tokensPerSecond, memoryBytes } of found.models)
      assert.ok(tokensPerSecond > 0 && memoryBytes > 100e6);
    assert.equal(found.best.fits, true);
  });

  const speeds = [
    { type: 'Q4_0', bits: 4.5, decode: 30, prefill: 300 },
    { type: 'Q8_0', bits: 8.5, decode: 15, prefill: 300 },
  ];
  const from = (wanted) => recommendFrom({ speeds, threads: 2, isa: 'simd128' }, wanted).best;

  test('takes the largest model that fits and is fast enough', () => {
    assert.equal(from({ speed: 1, memory: 1e9 }).name, 'Llama-3.2-1B');
    assert.equal(from({ speed: 1, memory: 1e9 }).type, 'Q4_0');
    assert.equal(from({ speed: 100, memory: 4e9 }).name, 'SmolLM2-135M');
    assert.equal(from({ speed: 100, memory: 4e9 }).type, 'Q8_0');
    assert.equal(from({ speed: 1e6, memory: 4e9 }), undefined);
    assert.equal(from({ speed: 1, memory: 1e6 }), undefined);
  });

  test('knows the sizes of the models', async () => {
    for (const [name, shape] of [
      ['SmolLM2-135M', 'smollm2-135m'],
      ['Llama-3.2-1B', 'llama-3.2-1b'],
      ['Llama-3.1-8B', 'llama-3-8b'],
    ]) {
      const { parameters, kvValues } = sizesOf(KNOWN_MODELS.find((each) => each.name === name));
      const { model, memory } = await plan({ shape }, { contextLength: 32 });
      assert.ok(Math.abs(parameters / model.parameters - 1) < 0.001, name);
      assert.equal(memory.context, kvValues * 32 * 2, name);
    }
  });

  test('refuses wishes that are none, and can be aborted', async () => {
    await assert.rejects(recommend({ memory: 'much' }), ArgumentError);
    await assert.rejects(recommend({ signal: AbortSignal.abort() }), AbortError);
  });
});
