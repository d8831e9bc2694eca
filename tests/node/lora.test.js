// LoRA adapters that are added to a model as it is loaded.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { capabilities, load } from '../../web/index.js';
import { parityHash } from '../../web/parity.js';
import { defaultMatrices, makeAdapter } from './adapter.js';
import { serveFaulty } from './faulty.js';
import { cli, modelPath, native, nativeProgram, needs } from './support.js';

const TOKENS = [1, 450, 29, 3, 77, 500, 12, 1000, 8, 15, 2000, 42, 7, 7, 300, 301];
const isas = ['scalar', 'simd128', ...(capabilities().relaxedSimd.available ? ['relaxed'] : [])];
const first = makeAdapter();
const second = makeAdapter({ seed: 2, rank: 11, matrices: defaultMatrices.slice(3, 20) });

let folder, expected, plain;
const at = (name) => join(folder, name);
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'halfbyte-'));
  await writeFile(at('first.gguf'), first);
  await writeFile(at('second.gguf'), second);
  plain = await hashWith();
  expected = await hashWith(at('first.gguf'));
});
after(() => rm(folder, { recursive: true }));

async function withModel(options, body) {
  const model = await load(modelPath, { threads: 1, ...options });
  try {
    return await body(model);
  } finally {
    await model.dispose();
  }
}

const hashOf = async (model) => parityHash(await model.logits(TOKENS));
const hashWith = (lora, options) => withModel({ lora, ...options }, hashOf);

test(
  'adapted models have the native bits on every instruction set and by any threads',
  needs(nativeProgram),
  async () => {
    const lora = [at('first.gguf'), { source: at('second.gguf'), scale: -0.7 }];
    const wanted = await native(
      ...['parity', '-m', modelPath, '--tokens', TOKENS.join(',')],
      ...['--lora', lora[0], '--lora', `${lora[1].source}=-0.7`],
    );
    for (const isa of isas) assert.equal(await hashWith(lora, { isa }), wanted, isa);
    assert.equal(await hashWith(lora, { threads: 2, divideAll: true }), wanted);
    assert.notEqual(expected, plain);
    assert.notEqual(expected, wanted);
  },
);

test('a scale of 0 is the model itself', async () => {
  assert.equal(await hashWith({ source: first, scale: 0 }), plain);
  assert.equal(await hashWith([]), plain);
});

test('adapters come from bytes, Blobs, streams, URLs and paths alike, beside any model', async () => {
  const sources = [
    first.buffer.slice(first.byteOffset, first.byteOffset + first.length),
    first,
    new Blob([first]),
    new Blob([first]).stream(),
    `data:;base64,${first.toString('base64')}`,
    new URL(`file://${at('first.gguf')}`),
  ];
  const bytes = await readFile(modelPath);
  const model = await load(bytes, { threads: 1, lora: sources });
  const hash = await hashOf(model);
  await model.dispose();
  assert.equal(hash, await hashWith(sources.map(() => at('first.gguf'))));
});

test('info names adapters, and progress counts them', async () => {
  const told = [];
  const lora = [at('first.gguf'), { source: new File([second], 'second.gguf'), scale: 0.5 }];
  const info = await withModel({ lora, onProgress: (each) => told.push(each) }, ({ info }) => info);
  assert.deepEqual(info.lora, [
    { name: at('first.gguf'), scale: 1 },
    { name: 'second.gguf', scale: 0.5 },
  ]);
  const all = (await readFile(modelPath)).length + first.length + second.length;
  const { loaded, total } = told.at(-1);
  assert.deepEqual({ loaded, total }, { loaded: all, total: all });
  assert.ok(told.every((each, i) => i === 0 || each.loaded >= told[i - 1].loaded));
  const bare = await withModel({}, ({ info }) => info);
  assert.deepEqual(bare.lora, []);
  assert.ok(info.weightBytes > bare.weightBytes);
});

describe('an adapter on a server', () => {
  const sum = createHash('sha256').update(first).digest('hex');
  let server;
  before(async () => (server = await serveFaulty(first)));
  after(() => server.close());
  beforeEach(() => server.calm());

  test('is downloaded once', async () => {
    const lora = { source: server.url, sha256: sum };
    const options = { cache: at('cache') };
    assert.equal(await hashWith(lora, options), expected);
    assert.equal(server.sent(), first.length);
    server.calm();
    assert.equal(await hashWith(lora, options), expected);
    assert.equal(server.requests(), 0);
  });

  test('is fetched anew when it came damaged', async () => {
    const options = { cache: at('damaged') };
    server.fault = (_, n) => (n === 0 ? { flip: 0 } : undefined);
    assert.equal(await hashWith(server.url, options), expected);
    server.calm();
    server.fault = () => ({ flip: 0 });
    await assert.rejects(hashWith(server.url, { cache: false }), (error) => {
      assert.equal(error.code, 'FORMAT');
      return error.message.includes(server.url);
    });
  });

  test('must have the hash that was said', async () => {
    await assert.rejects(
      hashWith({ source: server.url, sha256: '0'.repeat(64) }, { cache: false }),
      {
        code: 'INTEGRITY',
      },
    );
  });

  test('does not get the headers that are for the server of the model', async () => {
    const other = await serveFaulty(await readFile(modelPath));
    try {
      const headers = { Authorization: 'Bearer secret' };
      for (const lora of [server.url, `${other.origin}/adapter.gguf`]) {
        other.files = { '/adapter.gguf': first };
        const model = await load(other.url, { lora, headers, cache: false, threads: 1 });
        await model.dispose();
      }
      assert.ok(server.log.length > 0);
      assert.ok(server.log.every((request) => request.headers.authorization === undefined));
      assert.ok(other.log.length > 2);
      assert.ok(
        other.log.every((request) => request.headers.authorization === headers.Authorization),
      );
    } finally {
      await other.close();
    }
  });

  test('that is not there is an error', async () => {
    server.fault = () => ({ status: 404 });
    await assert.rejects(hashWith(server.url), { code: 'NETWORK', status: 404 });
  });
});

describe('refused is', () => {
  const cases = {
    'an adapter of another architecture': [
      makeAdapter({ architecture: 'qwen2' }),
      'MODEL',
      /"qwen2" instead of "llama"/,
    ],
    'an adapter of another shape': [
      makeAdapter({ matrices: [['blk.0.attn_k.weight', 256, 256]] }),
      'MODEL',
      /blk\.0\.attn_k\.weight is made for/,
    ],
    'one of a matrix outside of layers': [
      makeAdapter({ matrices: [['token_embd.weight', 256, 4096]] }),
      'UNSUPPORTED',
      /token_embd/,
    ],
    'a model': [modelPath, 'MODEL', /no LoRA adapter|general\.type/],
    'a file that is cut': [first.subarray(0, -1), 'TRUNCATED', /the buffer: /],
    'an empty file': [new Blob([]), 'TRUNCATED', /the Blob: /],
    'a file that is none': [join(tmpdir(), 'halfbyte-none.gguf'), 'IO', /none\.gguf/],
    'what is no source': [7, 'ARGUMENT', /loaded from/],
    'a shape': [{ shape: '64,1,1,1,64,300' }, 'ARGUMENT', /lora\[0\] is a shape/],
    'a scale that is no number': [{ source: first, scale: NaN }, 'ARGUMENT', /scale of lora\[0\]/],
    'a scale as a text': [{ source: first, scale: '1' }, 'ARGUMENT', /scale of lora\[0\]/],
    'more adapters than can be': [Array(17).fill(first), 'ARGUMENT', /17 adapters/],
    'a hash of what is not downloaded': [
      { source: first, sha256: '0'.repeat(64) },
      'ARGUMENT',
      /sha256/,
    ],
  };
  for (const [name, [lora, code, message]] of Object.entries(cases))
    test(name, () => assert.rejects(hashWith(lora), { code, message }));
});

test('a state is of the model with its adapters', async () => {
  const options = { maxTokens: 1, temperature: 0 };
  const state = await withModel({ lora: first }, async (model) => {
    for await (const each of model.generate('Once', options)) void each;
    return model.saveState();
  });
  await withModel({ lora: first }, (model) => model.restoreState(state));
  await withModel({}, (model) => assert.rejects(model.restoreState(state), { code: 'ARGUMENT' }));
});

test('a model that is quantized as it is loaded takes adapters', async () => {
  const base = { shape: '256,1,4,2,256,300', type: 'f32' };
  const matrices = [
    ['blk.0.attn_q.weight', 256, 256],
    ['blk.0.ffn_up.weight', 256, 256],
  ];
  const options = { quantize: 'q4_0', cache: false, threads: 1, lora: makeAdapter({ matrices }) };
  const model = await load(base, options);
  const stock = await load({ ...base, type: 'f32' }, { ...options, lora: [] });
  try {
    assert.equal(model.info.lora.length, 1);
    const tokens = [1, 2, 3];
    assert.notDeepEqual(await model.logits(tokens), await stock.logits(tokens));
  } finally {
    await model.dispose();
    await stock.dispose();
  }
});

test('the command line adds adapters', async () => {
  const parity = async (...more) => {
    const { code, stdout, stderr } = await cli('parity', '--tokens', TOKENS.join(','), ...more);
    assert.equal(code, 0, stderr);
    return stdout.trim();
  };
  await writeFile(at('a=b.gguf'), first);
  assert.equal(await parity('--lora', at('a=b.gguf')), expected);
  const halves = [
    { source: first, scale: 0.5 },
    { source: first, scale: -0.25 },
  ];
  assert.equal(
    await parity('--lora', `${at('a=b.gguf')}=.5`, '--lora', `${at('first.gguf')}=-25e-2`),
    await hashWith(halves),
  );
  const { code, stderr } = await cli('run', '-p', 'x', '-n', '1', '--lora', at('none.gguf'));
  assert.equal(code, 1);
  assert.match(stderr, /none\.gguf/);
});
