// What `advise` expects of a model's types, against the model as it is. How fast is nobody's promise.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { defaultModel, halfbyte, temporaryFolder } from './support.js';

const advise = (...more) => halfbyte(['advise', defaultModel, '--speed', '0.01', ...more]);
function told(...more) {
  const { code, out, err } = advise('--json', ...more);
  assert.equal(code, 0, err);
  return JSON.parse(out);
}

test('sizes and memory are those of the model in that type', () => {
  const { types, context } = told('--memory', '1G');
  const found = types.find(({ type }) => type === 'q4_0');
  const size = readFileSync(defaultModel).length;
  assert.ok(Math.abs(found.fileBytes / size - 1) < 0.001, `${found.fileBytes}, ${size}`);
  assert.ok(Math.abs(found.bitsPerWeight - 4.516) < 0.001);
  const { out } = halfbyte(['inspect', defaultModel, '--ctx', `${context}`]);
  const [, memory] = out.match(/^memory +([\d.]+) MiB/m);
  assert.ok(Math.abs(found.memoryBytes / 2 ** 20 - memory) < 0.06, `${found.memoryBytes} ${memory}`);
  assert.ok(types.every(({ tokensPerSecond }) => tokensPerSecond > 0));
});

test('the best type that fits is advised', () => {
  const { types } = told('--memory', '1G');
  const memory = Object.fromEntries(types.map(({ type, memoryBytes }) => [type, memoryBytes]));
  const bestFor = (bytes) => told('--memory', `${bytes}`).best;
  assert.equal(bestFor(memory.f16), 'f16');
  assert.equal(bestFor(memory.f16 - 1), 'q8_0');
  assert.equal(bestFor(memory.q8_0 - 1), 'q6_k');
  assert.equal(bestFor(1 << 20), null);
});

test('a longer context takes more memory', () => {
  const least = (context) => told('--memory', '1G', '-c', context).types[0].memoryBytes;
  assert.ok(least('512') > least('128'));
});

test('people are told what to take, or why there is nothing to take', () => {
  const { code, out } = advise('--memory', '1G');
  assert.equal(code, 0);
  assert.match(out, /^f16 .*<- take this$/m);
  assert.match(out, /^memory with a context of 512; speeds with \d+ threads, expected$/m);
  const small = advise('--memory', '1M');
  assert.equal(small.code, 1);
  assert.match(small.out, /^q2_k .*too large$/m);
  assert.match(small.err, /no type fits into 1\.0 MiB and reaches 0\.01 tokens\/s: .* takes at least [67]\.\d MiB/);
  const fast = halfbyte(['advise', defaultModel, '--memory', '1G', '--speed', '100000']);
  assert.equal(fast.code, 1);
  assert.match(fast.out, /^f16 .*too slow$/m);
});

/** A report in which the model was measured in some types. */
function reportOf(t, measured) {
  const folder = path.join(temporaryFolder(t), 'report');
  const text = path.join(temporaryFolder(t), 'text.txt');
  writeFileSync(text, 'Once upon a time there was a king. '.repeat(10));
  const args = ['compare', defaultModel, defaultModel, '-f', text, '-c', '16', '--report', folder];
  assert.equal(halfbyte(args).code, 0);
  const file = path.join(folder, 'report.json');
  const report = JSON.parse(readFileSync(file, 'utf8'));
  const [run] = report.runs;
  report.runs = measured.map(([type, value]) => ({
    ...run,
    logRatio: { value, error: 0 },
    tensors: run.tensors.map((tensor) => ({ ...tensor, type })),
  }));
  writeFileSync(file, JSON.stringify(report));
  return folder;
}

test('what a report measured of this model counts', (t) => {
  const folder = reportOf(t, [['Q4_K', 0.02], ['Q4_0', 0.03], ['Q4_0', 0.01], ['Q9_Z', 0.001]]);
  const { types } = told('--memory', '1G', '--report', folder);
  const excess = Object.fromEntries(types.map((each) => [each.type, each.excess]));
  assert.deepEqual([excess.q4_k, excess.q4_0, excess.q6_k], [0.02, 0.01, undefined]);
  const room = types.find(({ type }) => type === 'q4_k').memoryBytes;
  assert.equal(told('--memory', `${room}`).best, 'q4_k');
  assert.equal(told('--memory', `${room}`, '--report', folder).best, 'q4_0');
});

test('a report that is none is refused', (t) => {
  const folder = temporaryFolder(t);
  assert.match(advise('--memory', '1G', '--report', folder).err, /report\.json: No such file/);
  mkdirSync(path.join(folder, 'x'));
  writeFileSync(path.join(folder, 'x/report.json'), '{');
  assert.match(advise('--memory', '1G', '--report', path.join(folder, 'x')).err, /no sound JSON/);
});

for (const value of ['0', '-1', 'much', '2X', '1e3', '1.2.3', 'G', '2Gi', '', '99999999999T'])
  test(`--memory '${value}' is a mistake in usage`, () => {
    const { code, err } = halfbyte(['advise', defaultModel, '--memory', value]);
    assert.equal(code, 2);
    assert.match(err, /--memory takes a size such as 512M or 2G/);
  });

test('sizes have units', () => {
  const bestFor = (memory) => told('--memory', memory).best;
  for (const same of ['8M', '8MiB', '8MB', '8m', '8388608', '8388608B', '0.0078125G'])
    assert.equal(bestFor(same), bestFor('8192K'));
});

for (const value of ['0', '-5', 'fast', 'inf'])
  test(`--speed ${value} is a mistake in usage`, () => {
    const { code, err } = halfbyte(['advise', defaultModel, '--memory', '1G', '--speed', value]);
    assert.equal(code, 2);
    assert.match(err, /--speed takes a number/);
  });
