// Measuring: which figures come out, and that they belong together.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { AbortError, ArgumentError, ContextFullError, benchKernels, load } from '../../web/index.js';
import { samples } from '../../web/bench.js';
import { PROMPT, cli, collect, greedy, modelPath, native, nativeProgram, needs } from './support.js';

const SHAPE = '64,2,4,2,128,300'; // width, layers, heads, KV heads, feed-forward, vocabulary
const FIGURES = [
  ...['prefill', 'decode', 'decodeGBps', 'readGBps', 'prefillGops'],
  ...['loadSeconds', 'firstTokenSeconds'],
];
const FIELDS = [
  'threads',
  ...FIGURES.flatMap((name) => [name, `${name}Spread`]),
  ...['peakBytes', 'isa', 'cpu', 'engine', 'commit'],
];
const SMALL = { prompt: 16, generate: 4, repeat: 2 };
const SMALL_FLAGS = ['-p', '16', '-n', '4', '-r', '2'];

/** Fails unless these are sound figures of a measurement. */
function assertFigures(result) {
  assert.deepEqual(Object.keys(result), FIELDS);
  for (const name of FIGURES) {
    assert.ok(result[name] > 0 && Number.isFinite(result[name]), name);
    assert.ok(result[`${name}Spread`] >= 0, name);
  }
  assert.match(result.isa, /^(simd128|relaxed)$/);
  assert.match(result.engine, /^Node \d+\.\d+\.\d+ \(V8 /);
  assert.ok(result.cpu);
  assert.match(result.commit, /^([0-9a-f]{7,}|unknown)$/);
}

describe('a loaded model', () => {
  let model;
  before(async () => (model = await load(modelPath, { threads: 2 })));
  after(() => model.dispose());

  test('is measured', async () => {
    const result = await model.bench(SMALL);
    assertFigures(result);
    assert.equal(result.threads, model.info.threads);
    assert.equal(result.loadSeconds, model.info.loadSeconds);
    assert.ok(result.peakBytes > model.info.weightBytes);
    // Every decoded token reads all weights, since the output matrix is the embedding.
    const perToken = (result.decodeGBps / result.decode) * 1e9;
    assert.ok(Math.abs(perToken - model.info.weightBytes) < 1);
    // Two operations a weight and token; of the table, which is in `parameters`, for one token.
    const { parameters, vocabulary, width } = model.info;
    const perPrompt = (result.prefillGops / result.prefill) * SMALL.prompt * 1e9;
    const expected = 2 * (parameters - vocabulary * width) * SMALL.prompt + 2 * vocabulary * width;
    assert.ok(Math.abs(perPrompt / expected - 1) < 1e-6);
    assert.ok(result.firstTokenSeconds >= SMALL.prompt / result.prefill);
  });

  test('generates afterwards what it did before', async () => {
    const text = await collect(model.generate(PROMPT, greedy));
    await model.bench({ ...SMALL, depth: 300 });
    assert.equal(await collect(model.generate(PROMPT, greedy)), text);
  });

  test('tells how far the measurement is, and stops it', async () => {
    const seen = [];
    const controller = new AbortController();
    const measured = model.bench({
      ...SMALL,
      repeat: 100,
      signal: controller.signal,
      onProgress: (progress) => {
        seen.push(progress);
        if (progress.loaded === 1) controller.abort();
      },
    });
    await assert.rejects(measured, AbortError);
    assert.deepEqual(seen[0], { phase: 'bench', loaded: 0, total: 100 });
    assert.ok((await collect(model.generate(PROMPT, greedy))).length > 0);
  });

  test('refuses what does not fit', async () => {
    const { contextLength } = model.info;
    await assert.rejects(model.bench({ depth: contextLength }), ContextFullError);
    for (const options of [{ prompt: 0 }, { generate: 1.5 }, { repeat: 101 }, { depth: -1 }])
      await assert.rejects(model.bench(options), ArgumentError);
  });
});

test('a figure is a median, its spread the largest sample less the smallest', () => {
  assert.deepEqual(samples('x', [5, 1, 2]), { x: 2, xSpread: 4 });
  assert.deepEqual(samples('x', [4, 1, 2, 3]), { x: 2.5, xSpread: 3 });
  assert.deepEqual(samples('x', []), { x: 0, xSpread: 0 });
});

describe('kernels', () => {
  test('are measured', async () => {
    const results = await benchKernels({ types: ['q4_0'], threads: 1 });
    for (const each of results) {
      assert.ok(each.seconds > 0 && each.bytes > 0 && each.GBps > 0);
      assert.ok(Math.abs((each.GBps * each.seconds * 1e9) / each.bytes - 1) < 1e-6);
      assert.equal(each.Gops > 0, ['matmul', 'quantize', 'attend'].includes(each.kernel));
    }
    const matrix = results.find(({ batch, type }) => type === 'Q4_0' && batch === 128);
    assert.equal(matrix.operations, 2 * matrix.rows * matrix.cols * matrix.batch);
    assert.equal(matrix.bytes, (matrix.rows * matrix.cols * 18) / 32);
  });

  test('are refused by name', async () => {
    await assert.rejects(benchKernels({ types: ['Q9'] }), /Q4_0.*not Q9/);
    await assert.rejects(benchKernels({ types: 'Q4_0' }), ArgumentError);
  });
});

describe('halfbyte bench', () => {
  test('prints an object for each number of threads as JSON', async () => {
    const { stdout, stderr } = await cli('bench', '-m', modelPath, '-t', '1,2', ...SMALL_FLAGS, '--json');
    assert.equal(stderr, '');
    const results = JSON.parse(stdout);
    assert.deepEqual(
      results.map(({ threads }) => threads),
      [1, 2],
    );
    for (const result of results) assertFigures(result);
  });

  test('has the fields of the native program', needs(nativeProgram), async () => {
    const flags = ['bench', '--shape', SHAPE, '-t', '1', ...SMALL_FLAGS, '--json'];
    const [result] = JSON.parse(await native(...flags));
    assert.deepEqual(Object.keys(result), FIELDS);
  });

  test('makes a model from a shape and prints a table', async () => {
    const { code, stdout } = await cli('bench', '--shape', SHAPE, '-t', '1', ...SMALL_FLAGS);
    assert.equal(code, 0);
    assert.match(stdout, /^weights .* MiB, memory .* MiB; prompt 16, generated 4, depth 0, 2 times$/m);
    assert.match(stdout, /^threads  prefill tok\/s/m);
    assert.match(stdout, /^ {6}1  \d/m);
  });

  test('refuses what contradicts itself', async () => {
    for (const [flags, code, said] of [
      [['--shape', SHAPE, '-m', modelPath], 2, /either -m or --shape/],
      [['--kernels', '--shape', SHAPE], 2, /takes no model/],
      [['-t', 'all'], 2, /--threads takes numbers/],
      [['--shape', 'big'], 2, /shape big/],
      [['-p', '0'], 2, /prompt must be/],
    ]) {
      const result = await cli('bench', ...flags);
      assert.equal(result.code, code, flags.join(' '));
      assert.match(result.stderr, said);
    }
  });
});
