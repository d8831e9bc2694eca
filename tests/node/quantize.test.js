// Quantizing in WebAssembly: the files of the native program, from any source, to any place.
import assert from 'node:assert/strict';
import { readFile, readdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { cache, defaultModel, quantize } from '../../web/index.js';
import { gradientFile, matricesOf } from '../cli/gradient-file.js';
import { split } from '../cli/split.js';
import { serveFaulty } from './faulty.js';
import { bytesOf, nativeFile, needsNative, text, workplace } from './quantizing.js';
import { cli, modelPath, native, needs, shared } from './support.js';

const CALIBRATED = { calibration: text, samples: 4, length: 32 };

describe('quantize', needsNative, () => {
  let place, wide, corpus;
  const environment = process.env.HALFBYTE_CACHE;
  before(async () => {
    [place, wide] = await Promise.all([workplace(), workplace('256,1,4,2,256,300')]);
    process.env.HALFBYTE_CACHE = join(place.folder, 'cache');
    corpus = join(place.folder, 'corpus.txt');
    await writeFile(corpus, text);
  });
  beforeEach(() => cache.clear());
  after(async () => {
    if (environment === undefined) delete process.env.HALFBYTE_CACHE;
    else process.env.HALFBYTE_CACHE = environment;
    await Promise.all([place.remove(), wide.remove()]);
  });

  const flagsOf = (options) =>
    Object.entries(options).flatMap(([name, value]) => {
      const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
      return name === 'tensors' ? ['--tensor', value] : [`--${flag}`, String(value)];
    });
  const calibrationFlags = () => [
    ...['--calibration', corpus],
    ...['--calibration-samples', '4', '--calibration-length', '32'],
  ];

  describe('writes the bytes of the native program', () => {
    for (const options of [
      { type: 'q4_0' },
      { type: 'Q8_0' },
      { type: 'nf4' },
      { method: 'fp4' },
      { type: 'q8_0', granularity: 'channel' },
      { type: 'q4_0', groupSize: 64 },
      { type: 'q4_1', method: 'hqq' },
      { type: 'int2_64' },
      { type: 'q5_0', tensors: 'attn_v=q8_0,ffn_*.weight=q4_1' },
    ])
      test(`with ${JSON.stringify(options)}`, async () => {
        const { blob } = await quantize(place.model, options);
        assert.deepEqual(
          await bytesOf(blob),
          await nativeFile(place.model, place.folder, ...flagsOf(options)),
        );
      });

    for (const [model, options] of [
      ['narrow', { type: 'q4_0', method: 'imatrix' }],
      ['narrow', { type: 'q4_0' }],
      ['narrow', { type: 'q5_1', method: 'awq' }],
      ['narrow', { type: 'q8_0', method: 'smoothquant' }],
      ['narrow', { type: 'q8_0', method: 'smoothquant', smoothAlpha: 0.7, activations: 'tensor' }],
      ['narrow', { type: 'q8_0', method: 'llm.int8', outlierThreshold: 2.3 }],
      ['narrow', { type: 'table4', method: 'squeezellm', outliers: 0.012 }],
      ['narrow', { type: 'table3' }],
      ['narrow', { type: 'q4_0', granularity: 'tensor' }],
      ['narrow', { bitsPerWeight: 5.5 }],
      ['wide', { type: 'q4_k_m', method: 'gptq' }],
    ])
      test(`with text and ${JSON.stringify(options)}`, async () => {
        const from = model === 'wide' ? wide : place;
        const { blob } = await quantize(from.model, { ...options, ...CALIBRATED });
        const flags = [...flagsOf(options), ...calibrationFlags()];
        assert.deepEqual(await bytesOf(blob), await nativeFile(from.model, from.folder, ...flags));
      });

    test('with drawn samples of JSON Lines', async () => {
      const lines = text.match(/.{1,400}/g);
      const jsonl = lines
        .map((line, i) => JSON.stringify(i % 2 ? `<s>${line}</s>` : { text: line }))
        .join('\n');
      const path = join(place.folder, 'corpus.jsonl');
      await writeFile(path, jsonl);
      const options = { type: 'q4_0', method: 'imatrix', samples: 3, length: 20, seed: 7 };
      const { blob, calibration } = await quantize(place.model, {
        ...options,
        calibration: new File([jsonl], 'corpus.jsonl'),
      });
      assert.deepEqual(calibration, { samples: 3, length: 20 });
      const flags = [
        ...['--type', 'q4_0', '--method', 'imatrix', '--calibration', path],
        ...['--calibration-samples', '3', '--calibration-length', '20', '--calibration-seed', '7'],
      ];
      assert.deepEqual(await bytesOf(blob), await nativeFile(place.model, place.folder, ...flags));
    });

    test('with an importance file, be it a path or a Blob', async () => {
      const imatrix = join(place.folder, 'importance.gguf');
      await native('calibrate', '-o', imatrix, ...calibrationFlags(), place.model);
      const flags = ['--type', 'q4_0', '--imatrix', imatrix];
      const expected = await nativeFile(place.model, place.folder, ...flags);
      const { blob, method } = await quantize(place.model, { type: 'q4_0', imatrix });
      assert.equal(method, 'imatrix');
      assert.deepEqual(await bytesOf(blob), expected);
      const [model, file] = [place.bytes, await readFile(imatrix)].map((each) => new Blob([each]));
      const other = await quantize(model, { type: 'q4_0', imatrix: file });
      assert.deepEqual(await bytesOf(other.blob), expected);
    });

    test('with a gradient file', async () => {
      const gradients = join(place.folder, 'gradients.gguf');
      await writeFile(
        gradients,
        gradientFile(matricesOf(place.model), (i) => (i % 13) ** 2),
      );
      const expected = await nativeFile(
        ...[place.model, place.folder, '--type', 'table3', '--gradients', gradients],
      );
      for (const file of [gradients, new Blob([await readFile(gradients)])]) {
        const { blob, method } = await quantize(place.model, { type: 'table3', gradients: file });
        assert.equal(method, 'squeezellm');
        assert.deepEqual(await bytesOf(blob), expected);
      }
    });

    test('with one thread and with three', async () => {
      const options = { type: 'q4_0', ...CALIBRATED };
      const one = await quantize(place.model, { ...options, threads: 1 });
      const three = await quantize(place.model, { ...options, threads: 3 });
      assert.deepEqual([one.threads, three.threads], [1, 3]);
      assert.deepEqual(await bytesOf(one.blob), await bytesOf(three.blob));
    });

    const tales = `${shared}/models/tales-5.8m/tales-5.8m-f32.gguf`;
    test('of a trained model', needs(tales), async () => {
      const { blob } = await quantize(tales, { type: 'nf4' });
      assert.deepEqual(await bytesOf(blob), await nativeFile(tales, place.folder, '--type', 'nf4'));
    });
  });

  describe('takes', () => {
    let expected;
    before(async () => (expected = await nativeFile(place.model, place.folder, '--type', 'q4_0')));
    const made = async (source, options) =>
      bytesOf((await quantize(source, { type: 'q4_0', ...options })).blob);

    test('a Blob, a buffer, a stream and a shape', async () => {
      const blob = new Blob([place.bytes]);
      for (const source of [
        blob,
        place.bytes,
        blob.stream(),
        { shape: '64,2,4,2,128,300', type: 'f16' },
      ])
        assert.deepEqual(await made(source), expected);
      assert.deepEqual(await readdir(join(place.folder, 'cache')), []);
    });

    test('a URL, which is fetched once', async () => {
      const server = await serveFaulty(place.bytes);
      try {
        assert.deepEqual(await made(server.url), expected);
        server.calm();
        assert.deepEqual(await made(server.url), expected);
        assert.equal(server.requests(), 0);
        assert.deepEqual(await made(server.url, { cache: false }), expected);
        assert.equal((await cache.list()).length, 1);
      } finally {
        await server.close();
      }
    });

    test('the files of a split model, and a quantized one where that is allowed', async () => {
      const [first] = split(place.folder, 3);
      const options = { type: 'q5_0', allowRequantize: true };
      const whole = await made(defaultModel, options);
      assert.deepEqual(await made(first, options), whole);
      const flags = ['--type', 'q5_0', '--allow-requantize'];
      assert.deepEqual(whole, await nativeFile(modelPath, place.folder, ...flags));
    });
  });

  describe('gives', () => {
    test('a report of each tensor, and hears how far it is', async () => {
      const heard = [];
      const options = { type: 'q4_k', onProgress: (progress) => heard.push(progress) };
      const { blob, tensors, ...sums } = await quantize(place.model, options);
      assert.equal(sums.bytes, blob.size);
      assert.equal(sums.method, 'rtn');
      assert.ok(sums.bitsPerWeight > 5 && sums.bitsPerWeight < 16, `${sums.bitsPerWeight}`);
      const down = tensors.find(({ name }) => name === 'blk.0.ffn_down.weight');
      assert.equal(down.from, 'F16');
      assert.notEqual(down.to, 'Q4_K');
      assert.match(down.reason, /rows of 128 values do not divide into Q4_K blocks of 256/);
      assert.ok(down.error > 0 && down.error < 0.1, `${down.error}`);
      assert.deepEqual(
        heard.filter(({ tensor }) => tensor).map(({ tensor }) => tensor),
        tensors,
      );
      const last = heard.at(-1);
      assert.equal(last.phase, 'quantize');
      assert.equal(last.loaded, last.total);
    });

    test('what a budget found of each matrix', async () => {
      const heard = new Set();
      const { tensors } = await quantize(place.model, {
        ...{ bitsPerWeight: 6, ...CALIBRATED },
        onProgress: ({ phase }) => heard.add(phase),
      });
      assert.ok(heard.has('measure'));
      const matrices = tensors.filter(({ from, to }) => from !== to);
      assert.ok(matrices.every(({ sensitivity }) => sensitivity >= 0));
    });

    test('a file under its name, and the chunks of a stream', async () => {
      const path = join(place.folder, 'out.gguf');
      const plain = await quantize(place.model, { type: 'q4_0' });
      const named = await quantize(place.model, { type: 'q4_0', to: path });
      assert.deepEqual(await readFile(path), await bytesOf(plain.blob));
      assert.equal(named.blob, undefined);
      const chunks = [];
      const slow = new WritableStream({
        write: async (chunk) => {
          await new Promise(setImmediate);
          chunks.push(chunk);
        },
      });
      await quantize(place.model, { type: 'q4_0', to: slow });
      assert.deepEqual(Buffer.concat(chunks), await bytesOf(plain.blob));
    });
  });

  test('on the command line it writes the same file, and says the same of it', async () => {
    const to = join(place.folder, 'by-command.gguf');
    const flags = ['--type', 'q4_k', '--tensor', 'attn_v=q8_0', ...calibrationFlags()];
    const { code, stdout } = await cli('quantize', place.model, to, ...flags);
    assert.equal(code, 0);
    const path = join(place.folder, 'by-native.gguf');
    assert.equal(stdout.trim(), await native('quantize', place.model, path, ...flags));
    assert.deepEqual(await readFile(to), await readFile(path));
    assert.match(stdout, /bits\/weight/);
    assert.equal((await cli('quantize', place.model)).code, 2);
    assert.equal((await cli('quantize', place.model, to, '--type', 'q4_9')).code, 2);
    assert.equal((await cli('quantize', `${to}.none`, to, '--type', 'q4_0')).code, 1);
    const missing = [...flags, '--calibration', `${corpus}.none`];
    assert.match((await cli('quantize', place.model, to, ...missing)).stderr, /corpus\.txt\.none/);
  });

  describe('refuses', () => {
    const refused = [
      ['neither type nor budget', {}, /`type` or `bitsPerWeight`/],
      ['both', { type: 'q4_0', bitsPerWeight: 4 }, /not both/],
      ['an unknown type', { type: 'q4_9' }, /type q4_9 is neither/],
      ['an unknown method', { type: 'q4_0', method: 'magic' }, /magic/],
      ['a method without its text', { type: 'q4_0', method: 'gptq' }, /needs text to calibrate/],
      ['a budget without text', { bitsPerWeight: 4.5 }, /needs text to calibrate/],
      ['too little text', { type: 'q4_0', calibration: 'few words' }, /4096 are needed/],
      ['a rule for no type', { type: 'q4_0', tensors: { attn_v: 'q9' } }, /attn_v.*'q9'/],
      ['a rule without a name', { type: 'q4_0', tensors: 'q6_k' }, /rules such as/],
      [
        'a rule for no tensor',
        { type: 'q4_0', tensors: 'atn_v=q6_k' },
        /no tensor's name has 'atn_v'/,
      ],
      [
        'an option of another method',
        { type: 'q4_0', smoothAlpha: 0.5 },
        /rtn has no use for an alpha/,
      ],
      ['text that is none', { type: 'q4_0', calibration: 5 }, /calibration is a text/],
      ['too many samples', { type: 'q4_0', samples: 2 ** 21 }, /samples/],
      ['text and an importance file', { type: 'q4_0', imatrix: 'x', ...CALIBRATED }, /one of/],
      [
        'an importance and a gradient file',
        { type: 'table4', imatrix: 'x', gradients: 'x' },
        /one of/,
      ],
      ['a place that is none', { type: 'q4_0', to: 5 }, /`to` is/],
    ];
    for (const [what, options, message] of refused)
      test(what, async () => {
        await assert.rejects(quantize(place.model, options), { code: 'ARGUMENT', message });
      });

    test('lines that are no JSON, by their number', async () => {
      const calibration = new File(['"one"\n\n{"other": 1}'], 'a.jsonl');
      await assert.rejects(
        quantize(place.model, { type: 'q4_0', calibration }),
        /a\.jsonl, line 3/,
      );
    });

    test('a model that is quantized already, before all of it is fetched', async () => {
      await assert.rejects(quantize(defaultModel, { type: 'q4_0' }), {
        code: 'ARGUMENT',
        message: /quantized already .*allowRequantize/,
      });
      const large = Buffer.concat([await readFile(modelPath), Buffer.alloc(32 << 20)]);
      const server = await serveFaulty(large);
      try {
        await assert.rejects(quantize(server.url, { type: 'q4_0' }), { code: 'ARGUMENT' });
        assert.ok(server.sent() < large.length, `${server.sent()} bytes were sent`);
      } finally {
        await server.close();
      }
    });

    test('a file that is cut, or another one, and says where', async () => {
      const path = join(place.folder, 'cut.gguf');
      await writeFile(path, place.bytes);
      await truncate(path, place.bytes.length - 100);
      await assert.rejects(quantize(path, { type: 'q4_0' }), { code: 'TRUNCATED' });
      await assert.rejects(quantize(new Blob([place.bytes.subarray(0, 100)]), { type: 'q4_0' }), {
        code: 'TRUNCATED',
      });
      await assert.rejects(quantize(Buffer.from('no model'), { type: 'q4_0' }), { code: 'FORMAT' });
      await assert.rejects(quantize(join(place.folder, 'none'), { type: 'q4_0' }), { code: 'IO' });
    });
  });

  describe('leaves nothing', () => {
    const left = async () => ({
      cached: await readdir(join(place.folder, 'cache')),
      beside: (await readdir(place.folder)).filter((name) => /^result/.test(name)),
    });
    const nothing = { cached: [], beside: [] };

    test('when it is aborted', async () => {
      const to = join(place.folder, 'result.gguf');
      const stop = new AbortController();
      const onProgress = ({ phase }) => phase === 'quantize' && stop.abort();
      const options = { type: 'q4_0', ...CALIBRATED, to, onProgress, signal: stop.signal };
      // From a stream, a copy of which lies in the cache meanwhile.
      const working = quantize(new Blob([place.bytes]).stream(), options);
      await assert.rejects(working, { code: 'ABORTED' });
      assert.deepEqual(await left(), nothing);
      await assert.rejects(quantize(place.model, options), { code: 'ABORTED' });
    });

    test('when its source ends early', async () => {
      const to = join(place.folder, 'result.gguf');
      const cut = new Blob([place.bytes.subarray(0, place.bytes.length - 64)]).stream();
      await assert.rejects(quantize(cut, { type: 'q4_0', to }), { code: 'TRUNCATED' });
      assert.deepEqual(await left(), nothing);
    });

    test('when what takes the result fails', async () => {
      const full = new WritableStream({
        write: () => {
          throw new Error('no more room');
        },
      });
      await assert.rejects(quantize(place.model, { type: 'q4_0', to: full }), /no more room/);
      const nowhere = join(place.folder, 'none', 'result.gguf');
      await assert.rejects(quantize(place.model, { type: 'q4_0', to: nowhere }), { code: 'IO' });
      assert.deepEqual(await left(), nothing);
    });

    test('when a listener throws', async () => {
      const onProgress = () => {
        throw new Error('the listener failed');
      };
      await assert.rejects(
        quantize(place.model, { type: 'q4_0', onProgress }),
        /the listener failed/,
      );
    });
  });
});
