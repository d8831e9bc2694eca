// What a model takes, told before it is fetched.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { OutOfMemoryError, defaultModel, inspect, load, plan } from '../../web/index.js';
import { fitMemory } from '../../web/fit.js';
import { split } from '../cli/split.js';
import { modelPath } from './support.js';

const GB = 1e9;
const MiB = 2 ** 20;

describe('a plan', () => {
  test('foretells the memory that loading takes', async () => {
    const big = { shape: '1024,6,16,4,4096,32000', type: 'q8_0' };
    const own = { shape: '1024,2,16,4,4096,8000', type: 'table4' };
    for (const [source, options] of [
      [defaultModel, {}],
      [defaultModel, { contextLength: 100, kv: 'f32', threads: 1 }],
      [big, { contextLength: 256, threads: 2 }],
      [big, { contextLength: 4096, kv: 'f32', threads: 1 }],
      [own, { contextLength: 256, threads: 1 }],
    ]) {
      const { memory, model, fits, advice } = await plan(source, options);
      const loaded = await load(source, options);
      const { memoryBytes, weightBytes, sessionBytes, contextLength } = loaded.info;
      await loaded.dispose();
      assert.equal(fits, true);
      assert.deepEqual(advice, []);
      assert.equal(model.contextLength, contextLength);
      assert.equal(memory.weights, weightBytes);
      assert.equal(memory.context + memory.scratch, sessionBytes);
      assert.equal(memory.total, memory.weights + sessionBytes + memory.module);
      const over = memory.total - memoryBytes;
      assert.ok(over > -MiB && over < 8 * MiB, `${over} bytes more than it took`);
    }
  });

  test('counts two bytes a value of keys and values, or four', async () => {
    const shape = '512,3,8,2,1024,2000'; // 3 layers, 2 KV heads of 64
    for (const [kv, bytes] of [['f16', 2], ['f32', 4]]) {
      const { memory } = await plan({ shape }, { contextLength: 1000, kv });
      assert.equal(memory.context, 3 * 2 * (64 + 64) * 1024 * bytes);
    }
  });

  test('says which context would fit, and that one fits', async () => {
    const source = { shape: 'llama-3.2-1b', type: 'q4_0' };
    const tooLong = await plan(source, { contextLength: 400000 });
    assert.equal(tooLong.fits, false);
    const { contextLength } = tooLong.change;
    assert.match(tooLong.advice[0], new RegExp(`contextLength: ${contextLength}`));
    assert.equal((await plan(source, { contextLength })).fits, true);
    assert.equal((await plan(source, { contextLength: contextLength + 64 })).fits, false);
  });

  test('says when a smaller model is needed', async () => {
    const { fits, advice, memory } = await plan({ shape: 'llama-3-8b', type: 'q8_0' });
    assert.equal(fits, false);
    assert.ok(memory.weights > 8 * GB);
    assert.match(advice[0], /smaller model/);
  });
});

describe('making a model fit', () => {
  const stock = (memory, more = {}) => {
    const whole = { weights: 1 * GB, context: 1 * GB, scratch: 0, module: 0, ...memory };
    const total = whole.weights + whole.context + whole.scratch + whole.module;
    return {
      ...{ parameters: 1 * GB, contextLength: 8192, kv: 'f16', threads: 1 },
      ...more,
      memory: { ...whole, total },
    };
  };

  test('changes nothing where it fits', () => {
    assert.equal(fitMemory(stock({ available: 2 * GB })), undefined);
  });

  test('takes the change that costs least', () => {
    const change = (...args) => fitMemory(stock(...args)).change;
    assert.deepEqual(change({ available: 2 * GB - MiB }, { threads: 4 }), { threads: 1 });
    assert.deepEqual(change({ available: 1.5 * GB }, { kv: 'f32' }), { kv: 'f16' });
    assert.deepEqual(change({ available: 1.5 * GB }), { contextLength: 4096 });
    assert.deepEqual(change({ available: 1.25 * GB }, { kv: 'f32' }), {
      kv: 'f16',
      contextLength: 4096,
    });
    assert.deepEqual(change({ available: 0.95 * GB }), { type: 'Q6_K', contextLength: 512 });
    assert.deepEqual(change({ available: 0.3 * GB }), {});
  });

  test('never promises what it does not keep', () => {
    for (let available = 1.1 * GB; available < 2 * GB; available += 0.0137 * GB) {
      const { contextLength } = fitMemory(stock({ available })).change;
      const context = (1 * GB * contextLength) / 8192;
      assert.equal(fitMemory(stock({ available, context }, { contextLength })), undefined);
    }
  });
});

describe('planning over HTTP', () => {
  const model = readFileSync(modelPath);
  const bytes = Buffer.concat([model, Buffer.alloc(64 * MiB)]); // more than sockets hold
  const cache = mkdtempSync(join(tmpdir(), 'halfbyte-test-'));
  const requests = [];
  let server;
  let url;
  before(async () => {
    server = createServer((request, response) => {
      const range = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '');
      const from = range ? Number(range[1]) : 0;
      const to = range?.[2] ? Math.min(Number(range[2]) + 1, bytes.length) : bytes.length;
      const told = { sent: 0 };
      requests.push(told);
      response.writeHead(range ? 206 : 200, {
        'Content-Length': to - from,
        ...(range && { 'Content-Range': `bytes ${from}-${to - 1}/${bytes.length}` }),
      });
      // Slowly: whoever stops reading is not sent the rest.
      let at = from;
      const send = () => {
        if (response.destroyed) return;
        if (at >= to) return response.end();
        const piece = bytes.subarray(at, Math.min(at + 65536, to));
        at += piece.length;
        told.sent += piece.length;
        response.write(piece, () => setImmediate(send));
      };
      send();
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${server.address().port}/model.gguf`;
    process.env.HALFBYTE_CACHE = cache;
  });
  after(() => {
    server.close();
    delete process.env.HALFBYTE_CACHE;
    rmSync(cache, { recursive: true });
  });

  test('reads the header and leaves the rest', async () => {
    const { memory, fileBytes } = await plan(url);
    assert.equal(memory.weights, (await plan(defaultModel)).memory.weights);
    assert.equal(fileBytes, bytes.length);
    const sent = requests.reduce((sum, each) => sum + each.sent, 0);
    assert.ok(sent < 32 * MiB, `${sent} of ${bytes.length} bytes were sent`);
  });

  test('counts the disk where something would be kept, less what is', async () => {
    const { disk, fits } = await plan(url);
    assert.equal(disk.needed, bytes.length);
    assert.equal(disk.kept, 0);
    assert.equal(fits, disk.available >= disk.needed);
    assert.equal((await plan(defaultModel)).disk.needed, 0);
    assert.equal((await plan(url, { cache: false })).disk.needed, 0);
    await (await load(url)).dispose();
    const { needed, kept } = (await plan(url)).disk;
    assert.deepEqual({ needed, kept }, { needed: 0, kept: bytes.length });
  });
});

describe('a plan of a split model', () => {
  const folder = mkdtempSync(join(tmpdir(), 'halfbyte-test-'));
  after(() => rmSync(folder, { recursive: true }));

  test('reads the header of every file', async () => {
    const files = split(folder, 3);
    const [whole, first, list] = [
      await plan(defaultModel),
      await plan(files[0]),
      await plan(files),
    ];
    const { available: _, module, total, ...memory } = whole.memory;
    for (const each of [first, list]) {
      assert.deepEqual({ ...each.memory, ...memory }, each.memory);
      assert.equal(each.fileBytes, files.reduce((sum, file) => sum + statSync(file).size, 0));
    }
    assert.equal((await inspect(files[0])).weightBytes, memory.weights);
  });
});

describe('memory that cannot be had', () => {
  test('is told in numbers, with what to change', async () => {
    const contextLength = 2 ** 22;
    await assert.rejects(load(defaultModel, { contextLength }), (error) => {
      assert.ok(error instanceof OutOfMemoryError);
      assert.ok(error.needed > 12 * GB);
      assert.equal(error.available, Math.min(2 ** 32, error.available));
      assert.match(error.message, /takes 12\.90 GB .* `contextLength: \d+` instead of 4194304/);
      return true;
    });
  });

  test('is not fetched for', async () => {
    let progress = 0;
    const onProgress = ({ loaded }) => (progress = loaded);
    const loading = load({ shape: 'llama-3-8b', type: 'q8_0' }, { onProgress });
    await assert.rejects(loading, (error) => {
      assert.ok(error instanceof OutOfMemoryError);
      return error.needed > 8 * GB && /smaller model/.test(error.message);
    });
    assert.ok(progress < 100 * MiB, `${progress} bytes`);
  });
});
