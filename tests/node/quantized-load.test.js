// load(source, { quantize }): the model that the native program's file would be, made once.
import assert from 'node:assert/strict';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { cache, inspect, load } from '../../web/index.js';
import { serveFaulty } from './faulty.js';
import { nativeFile, needsNative, text, workplace } from './quantizing.js';
import { modelPath } from './support.js';

const TOKENS = [1, 50, 299, 3, 77, 120, 9];

describe('load with quantize', needsNative, () => {
  let place, server;
  const environment = process.env.HALFBYTE_CACHE;
  before(async () => {
    place = await workplace();
    process.env.HALFBYTE_CACHE = join(place.folder, 'cache');
    server = await serveFaulty(place.bytes);
  });
  beforeEach(async () => {
    await cache.clear();
    server.calm();
  });
  after(async () => {
    if (environment === undefined) delete process.env.HALFBYTE_CACHE;
    else process.env.HALFBYTE_CACHE = environment;
    await server.close();
    await place.remove();
  });

  /** What a model computes, and how it came to be. */
  async function loaded(source, options) {
    const model = await load(source, { threads: 1, ...options });
    try {
      return { info: model.info, logits: await model.logits(TOKENS) };
    } finally {
      await model.dispose();
    }
  }
  const natively = async (...flags) => {
    const path = join(place.folder, 'by-native.gguf');
    await writeFile(path, await nativeFile(place.model, place.folder, ...flags));
    return (await loaded(path)).logits;
  };

  test('gives the model of the native file, and the next time from the cache alone', async () => {
    const expected = await natively('--type', 'q4_0');
    const phases = [];
    const onProgress = ({ phase }) => {
      if (phase !== phases.at(-1) && phase !== 'wait') phases.push(phase);
    };
    const first = await loaded(server.url, { quantize: 'q4_0', onProgress });
    assert.deepEqual(first.logits, expected);
    const { asIs, cached, report } = first.info.quantization;
    assert.deepEqual(
      { asIs, cached, type: report.type },
      { asIs: undefined, cached: false, type: 'q4_0' },
    );
    // A small file is downloaded between two reports.
    assert.deepEqual(phases.slice(-3), ['load', 'quantize', 'load']);
    assert.equal(first.info.notKept, undefined);

    // Even without the source.
    await cache.delete(server.url);
    server.calm();
    const second = await loaded(server.url, { quantize: 'Q4_0' });
    assert.deepEqual(second.logits, expected);
    assert.deepEqual(second.info.quantization, {
      asIs: undefined,
      cached: true,
      report: undefined,
    });
    assert.equal(server.requests(), 0);
    const [entry] = await cache.list();
    assert.match(entry.identity, /^quantized\(type=q4_0\):http/);
  });

  test('downloads once for two types, which have an entry each', async () => {
    await loaded(server.url, { quantize: 'q4_0' });
    server.calm();
    const { logits } = await loaded(server.url, { quantize: { type: 'q8_0' } });
    assert.deepEqual(logits, await natively('--type', 'q8_0'));
    assert.equal(server.requests(), 0);
    assert.equal((await cache.list()).length, 3);
  });

  test('knows texts to calibrate with apart', async () => {
    const quantize = { type: 'q4_0', method: 'imatrix', calibration: text, samples: 4, length: 32 };
    const corpus = join(place.folder, 'corpus.txt');
    await writeFile(corpus, text);
    const flags = ['--type', 'q4_0', '--method', 'imatrix', '--calibration', corpus];
    const expected = await natively(
      ...flags,
      ...['--calibration-samples', '4', '--calibration-length', '32'],
    );
    const first = await loaded(place.model, { quantize });
    assert.deepEqual(first.logits, expected);
    const other = await loaded(place.model, {
      quantize: { ...quantize, calibration: `${text} ${text}` },
    });
    assert.equal(other.info.quantization.cached, false);
    assert.equal((await loaded(place.model, { quantize })).info.quantization.cached, true);
  });

  test('keeps nothing of what has no name, or where it shall not', async () => {
    const expected = await natively('--type', 'q4_0');
    const blob = new Blob([place.bytes]);
    for (const [source, options] of [
      [blob, {}],
      [blob.stream(), {}],
      [server.url, { cache: false }],
    ]) {
      const { logits, info } = await loaded(source, { quantize: 'q4_0', ...options });
      assert.deepEqual(logits, expected);
      assert.equal(info.quantization.cached, false);
    }
    assert.deepEqual(await readdir(join(place.folder, 'cache')), []);
  });

  test('does without a cache where there can be none, and says why', async () => {
    const expected = await natively('--type', 'q4_0');
    const { HALFBYTE_CACHE } = process.env;
    process.env.HALFBYTE_CACHE = join(place.model, 'below-a-file');
    try {
      const { logits, info } = await loaded(server.url, { quantize: 'q4_0' });
      assert.deepEqual(logits, expected);
      assert.match(info.notKept, /HALFBYTE_CACHE/);
      await assert.rejects(loaded(server.url, { quantize: 'q4_0', cache: true }), {
        code: 'IO',
        message: /HALFBYTE_CACHE/,
      });
    } finally {
      process.env.HALFBYTE_CACHE = HALFBYTE_CACHE;
    }
  });

  test('makes anew what was damaged in the cache', async () => {
    const { logits: expected } = await loaded(place.model, { quantize: 'q4_0' });
    const folder = join(place.folder, 'cache');
    const [name] = (await readdir(folder)).filter((each) => each.endsWith('.gguf'));
    const bytes = await readFile(join(folder, name));
    bytes[bytes.length - 200] ^= 1;
    await writeFile(join(folder, name), bytes);
    const { logits, info } = await loaded(place.model, { quantize: 'q4_0' });
    assert.deepEqual(logits, expected);
    assert.equal(info.quantization.cached, false);
    assert.equal((await loaded(place.model, { quantize: 'q4_0' })).info.quantization.cached, true);
  });

  test('takes a model that is quantized already as it is, and says so', async () => {
    const { logits: expected } = await loaded(modelPath);
    const bytes = await readFile(modelPath);
    for (const source of [modelPath, new Blob([bytes]).stream()]) {
      const { logits, info } = await loaded(source, { quantize: 'q4_0' });
      assert.deepEqual(logits, expected);
      assert.match(info.quantization.asIs, /quantized already/);
    }
    assert.deepEqual(await cache.list(), []);
  });

  test('two at once make it once', async () => {
    const models = await Promise.all([1, 2].map(() => loaded(place.model, { quantize: 'q4_0' })));
    assert.deepEqual(models.map(({ info }) => info.quantization.cached).sort(), [false, true]);
    assert.deepEqual(models[0].logits, models[1].logits);
  });

  test('aborted while it quantizes, leaves nothing', async () => {
    const stop = new AbortController();
    const onProgress = ({ phase }) => phase === 'quantize' && stop.abort();
    const quantize = { type: 'q4_0', calibration: text, samples: 8, length: 64 };
    await assert.rejects(load(place.model, { quantize, onProgress, signal: stop.signal }), {
      code: 'ABORTED',
    });
    assert.deepEqual(await readdir(join(place.folder, 'cache')), []);
    assert.equal((await loaded(place.model, { quantize })).info.quantization.cached, false);
  });

  test('refuses what it cannot do, and inspect tells of the source', async () => {
    for (const quantize of [5, 'q4_9', null, {}, { type: 'q4_0', method: 'gptq' }])
      await assert.rejects(load(place.model, { quantize }), { code: 'ARGUMENT' });
    const { tensors } = await inspect(place.model, { quantize: 'q4_0' });
    assert.ok(tensors.every(({ type }) => type === 'F16' || type === 'F32'));
  });
});
