// What `bench` measures: its figures are all there and fit each other. How fast is nobody's promise.
import assert from 'node:assert/strict';
import test from 'node:test';
import { defaultModel, halfbyte } from './support.js';

const figures = [
  'prefill', 'decode', 'decodeGBps', 'readGBps', 'prefillGops', 'loadSeconds', 'firstTokenSeconds',
];
const fields = [
  'threads', ...figures.flatMap((name) => [name, `${name}Spread`]),
  'peakBytes', 'isa', 'cpu', 'engine', 'commit',
];
const small = ['-p', '8', '-n', '4', '-r', '2'];

function bench(...args) {
  const { code, out, err } = halfbyte(['bench', ...args, '--json']);
  assert.equal(err, '');
  assert.equal(code, 0);
  return JSON.parse(out);
}

test('--json has one object a thread count, with the documented fields', () => {
  const results = bench('-m', defaultModel, ...small, '-t', '1,2');
  assert.deepEqual(results.map((r) => r.threads), [1, 2]);
  for (const result of results) {
    assert.deepEqual(Object.keys(result), fields);
    for (const name of figures) {
      assert.ok(result[name] > 0, name);
      assert.ok(result[`${name}Spread`] >= 0, name);
    }
    assert.match(result.engine, /^native/);
  }
});

test('figures that follow from each other agree', () => {
  const [result] = bench('-m', defaultModel, ...small, '-t', '1', '--depth', '16');
  const megabytes = (result.decodeGBps * 1e3) / result.decode;
  assert.ok(Math.abs(megabytes - 3.26) < 0.1, `${megabytes} MB of weights a token`);
  assert.ok(result.firstTokenSeconds > 0.5 * (8 / result.prefill));
  assert.ok(result.peakBytes > 3e6);
});

test('--shape makes the model in memory, of the type asked for', () => {
  const shape = ['--shape', '256,2,4,2,512,400', ...small, '-t', '1'];
  const [narrow] = bench(...shape, '--type', 'q4_0');
  const [wide] = bench(...shape, '--type', 'f16');
  const bytes = (r) => r.decodeGBps / r.decode;
  assert.ok(bytes(wide) > 3.3 * bytes(narrow) && bytes(wide) < 3.7 * bytes(narrow));
});

test('the table names the same figures for people', () => {
  const { code, out } = halfbyte(['bench', '-m', defaultModel, ...small]);
  assert.equal(code, 0);
  assert.match(out, /prefill tok\/s +decode tok\/s +decode GB\/s/);
});

test('--kernels holds each kernel against plain reading', () => {
  const results = bench('--kernels', '--type', 'q4_0', '-t', '2');
  const kernels = new Set(results.map((r) => r.kernel));
  assert.deepEqual([...kernels], ['read', 'copy', 'quantize', 'attend', 'matmul', 'pack']);
  for (const r of results) {
    assert.equal(r.threads, 2);
    assert.equal(r.type, ['matmul', 'pack'].includes(r.kernel) ? 'Q4_0' : '');
    assert.ok(Math.abs((r.GBps * r.seconds * 1e9) / r.bytes - 1) < 1e-3);
    assert.equal(r.Gops > 0, ['matmul', 'quantize', 'attend'].includes(r.kernel));
    assert.ok(r.readShare > 0);
  }
});

test('the commit that was built is named', () => {
  const [result] = bench('-m', defaultModel, ...small, '-t', '1');
  assert.match(result.commit, /^([0-9a-f]{7,}|unknown)$/);
});

for (const [args, message] of [
  [[], /either -m or --shape/],
  [['-m', defaultModel, '--shape', 'smollm2-135m'], /either -m or --shape/],
  [['-m', defaultModel, '--kernels'], /takes no model/],
  [['--kernels', '--type', 'q4_k_m'], /knows no type q4_k_m/],
  [['--kernels', '--type', 'iq2_s'], /knows no type iq2_s/],
  [['--shape', 'nosuchshape'], /nosuchshape/],
  [['--shape', 'smollm2-135m', '--type', 'q9'], /q9/],
  [['-m', defaultModel, '-t', '0'], /-t takes/],
  [['-m', defaultModel, '-t', '1,'], /-t takes/],
  [['-m', defaultModel, '-t', '1,2,3,4,5,6,7,8,9'], /-t takes/],
])
  test(`bench ${args.slice(0, 1)} ${args.slice(2).join(' ')} is a mistake in usage`, () => {
    const { code, err } = halfbyte(['bench', ...args]);
    assert.equal(code, 2);
    assert.match(err, message);
  });
