// What bench:peers makes of measurements, and what it refuses; nothing is measured here.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { layerOf, speedOfLayer, speedOfProducts } from '../peers/layer.js';
import { matMulNBits } from '../peers/onnx.js';
import { contextLength, measure, randomTokens } from '../peers/protocol.js';
import { compare, median, page } from '../peers/table.js';

const program = 'tests/peers/run.js';

function refusal(args, env = {}) {
  const { status, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  assert.equal(status, 2, stderr);
  return stderr;
}

const series = (name, speeds, more = {}) => ({
  model: 'm',
  threads: 1,
  program: name,
  label: name,
  visits: speeds.map((speed) => ({ prefill: [10 * speed], decode: [speed] })),
  ...more,
});
const about = {
  command: 'command',
  date: 'date',
  hardware: 'hardware',
  versions: ['a 1', 'b 2'],
  settings: { prompt: 128, generate: 32, depth: 0, rounds: 3, passes: 1 },
};

test('without Chromium nothing is measured, and the programs that need it are named', () => {
  const stderr = refusal([], { HB_CHROMIUM: '/nowhere/chromium' });
  assert.match(stderr, /chromium, wllama2, wllama3, ort need Chromium/);
  assert.match(stderr, /not at \/nowhere\/chromium.*HB_CHROMIUM.*--programs/);
});

test('wrong options are named', () => {
  assert.match(refusal(['--programs', 'native,other']), /no program other; there are native, node/);
  assert.match(refusal(['-r', '0']), /-r takes a whole number from 1 on, not 0/);
  assert.match(refusal(['--threads', '1,x']), /--threads takes a whole number from 1 on, not x/);
  assert.match(refusal(['--other']), /--other/);
});

test('a ratio is that of the medians, within one model and number of threads', () => {
  const llama = series('llama.cpp', [1, 2, 9]);
  const all = [series('native', [6, 5, 100]), llama, series('llama.cpp', [7], { threads: 2 })];
  const { prefill, decode, ratios } = compare(all[0], all);
  assert.deepEqual(decode, { median: 6, least: 5, most: 100 });
  assert.equal(prefill.median, 60);
  assert.deepEqual(ratios, { 'llama.cpp': { prefill: 3, decode: 3 } });
});

test('the median of an even number of values lies between the middle ones', () => {
  assert.equal(median([4, 1, 3, 2]), 2.5);
});

test('a program that failed is in the table with its error, also after good rounds', () => {
  const text = page(about, [
    series('native', [5]),
    series('wllama2', [1, 2], { error: 'it | broke\ndown' }),
  ]);
  assert.match(text, /\| wllama2 \| failed: it \\\| broke down \|/);
  assert.match(text, /\| native \| 50\.0 \| 50\.0 to 50\.0 \| - \| 5\.00 \|/);
  assert.match(text, /hardware\. a 1, b 2\./);
});

test('a page says so when others used the machine', () => {
  const busy = (number) => [{ prefill: [1], decode: [1], busy: number }];
  const text = page(about, [series('native', [], { visits: [...busy(0.5), ...busy(1.5)] })]);
  assert.match(text, /Not to be quoted:\*\* others kept 1\.00, at most 1\.50 processors busy/);
  const quiet = page(about, [series('native', [], { visits: [...busy(0.01), ...busy(0)] })]);
  assert.doesNotMatch(quiet, /quoted/);
});

test('tokens are the same every time, differ by seed and fit the vocabulary', () => {
  const tokens = randomTokens(5000, 3, 300);
  assert.deepEqual(tokens, randomTokens(5000, 3, 300));
  assert.notDeepEqual(tokens, randomTokens(5000, 4, 300));
  assert.ok(tokens.every((token) => token >= 16 && token < 300));
  assert.ok(new Set(tokens).size > 250);
});

test('positions before the prompt are computed once, prompt and tokens in each pass', async () => {
  const task = { vocabulary: 99, threads: 1, prompt: 600, generate: 2, depth: 513, passes: 2 };
  const steps = [];
  const visit = await measure(task, async (tokens, at, last) => {
    await new Promise((done) => setTimeout(done, 50));
    steps.push(`${at}+${tokens.length}${last ? ' last' : ''}`);
  });
  assert.deepEqual(steps.splice(0, 2), ['0+512', '512+1 last']);
  assert.deepEqual(steps.splice(0, 3), ['513+16 last', '529+1 last', '530+1 last'], 'warm-up');
  const pass = ['513+512', '1025+88 last', '1113+1 last', '1114+1 last'];
  assert.ok(steps.length >= 3 * pass.length, 'one more to warm up and two that count');
  assert.deepEqual(steps, Array(steps.length / pass.length).fill(pass).flat());
  assert.equal(visit.prefill.length, 2);
  assert.equal(visit.decode.length, 2);
  assert.equal(contextLength(task), 1536);
});

test('a layer is the seven matrices of its model', () => {
  const sizes = { width: 576, heads: 9, kvHeads: 3, headSize: 64, feedForward: 1536, layers: 30 };
  const layer = layerOf(sizes);
  assert.equal(layer.shape, '576,8,9,3,1536,512');
  const weights = layer.matrices.reduce((sum, { rows, cols }) => sum + rows * cols, 0);
  assert.equal(weights, 2 * 576 * 576 + 2 * 192 * 576 + 3 * 576 * 1536);
  assert.deepEqual(speedOfLayer({ prefill: [2], decode: [1] }, layer).prefill, [16]);

  const products = layer.matrices.flatMap(({ name }) => [
    { name, batch: 1, ms: [1, 2] },
    { name, batch: 10, ms: [5, 10] },
  ]);
  const speeds = speedOfProducts(products, layer, { prompt: 10, passes: 2 });
  assert.deepEqual(speeds.decode, [1000 / 7, 1000 / 14]);
  assert.deepEqual(speeds.prefill, [10000 / 35, 10000 / 70]);
});

test('a model of one product is a well-formed message', () => {
  const model = matMulNBits(64, 96, (length) => new Uint8Array(length).fill(0x5a));
  const graph = fields(model).get(7)[0];
  const [weights, scales] = fields(graph).get(5);
  assert.equal(fields(weights).get(9)[0].length, (64 * 96) / 2);
  assert.equal(fields(scales).get(9)[0].length, 64 * 3 * 4);
  const [node] = fields(graph).get(1);
  assert.equal(Buffer.from(fields(node).get(4)[0]).toString(), 'MatMulNBits');
});

/** The fields of a protocol buffer message: numbers, or their bytes. */
function fields(message) {
  const found = new Map();
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++];
      value += (byte % 128) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const key = varint();
    let value = varint();
    if (key % 8 === 2) {
      value = message.subarray(at, at + value);
      at += value.length;
    }
    found.set(key >> 3, [...(found.get(key >> 3) ?? []), value]);
  }
  assert.equal(at, message.length);
  return found;
}
