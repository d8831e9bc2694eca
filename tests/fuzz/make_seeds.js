// Writes the hand-made seeds of five fuzz targets: node tests/fuzz/make_seeds.js. Every file is a
// regression test too: gguf.json and model.json say how it must end, and the unit tests gguf_hostile
// and model_hostile check it. In seeds/gguf the names begin with what the file attacks: `size` counts and lengths,
// `shape` dimensions and types, `place` alignment and offsets, `key` metadata, `wide` what 32 bits
// cannot hold. In seeds/model: `number` hyperparameters, `weight` tensors, `token` the vocabulary, `own`
// formats of halfbyte's own.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const U8 = 0, U16 = 2, U32 = 4, F32 = 6, BOOL = 7, STRING = 8, ARRAY = 9, U64 = 10;
const TYPE_F32 = 0, TYPE_F16 = 1, TYPE_Q4_0 = 2, TYPE_Q8_0 = 8, TYPE_Q2_K = 10, TYPE_IQ3_S = 21, TYPE_I8 = 24;

// Little-endian bytes from numbers of a width, texts and nested lists.
const number = (bytes) => (value) =>
  Buffer.from(Array.from({ length: bytes }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 255n)));
const u8 = number(1), u16 = number(2), u32 = number(4), u64 = number(8);
const f32 = (value) => Buffer.from(new Float32Array([value]).buffer);
const text = (value) => [u64(Buffer.byteLength(value)), Buffer.from(value)];
const bytes = (parts) =>
  Buffer.isBuffer(parts) ? parts : Array.isArray(parts) ? Buffer.concat(parts.map(bytes)) : Buffer.from(parts);

const key = (name, type, ...value) => bytes([text(name), u32(type), value]);
const tensor = (name, dims, { type = TYPE_F32, offset = 0, count = dims.length } = {}) =>
  bytes([text(name), u32(count), dims.map((d) => u64(d)), u32(type), u64(offset)]);
const some = key('general.name', STRING, text('seed'));
const weight = tensor('a', [8]);

/** A whole file; the counts may lie about the records. */
function file({ version = 3, keys = [some], tensors = [], keyCount, tensorCount, alignment = 32, data = 32 } = {}) {
  const header = bytes(['GGUF', u32(version), u64(tensorCount ?? tensors.length), u64(keyCount ?? keys.length), keys, tensors]);
  const padding = tensors.length ? (alignment - (header.length % alignment)) % alignment : 0;
  return bytes([header, Buffer.alloc(padding), Buffer.alloc(tensors.length ? data : 0, 1)]);
}

const withKey = (...record) => file({ keys: [some, key(...record)], tensors: [weight] });
const withTensor = (...record) => file({ tensors: [tensor(...record)] });
const aligned = (...value) => file({ keys: [key('general.alignment', ...value)], tensors: [weight] });
const split = (number, count, type = U16, number_ = type === U16 ? u16 : u64) =>
  file({ keys: [key('split.no', type, number_(number)), key('split.count', type, number_(count))], tensors: [weight] });

const gguf = {
  // Sound files.
  'ok-v2': file({ version: 2, tensors: [weight] }),
  'ok-v3': file({ tensors: [weight] }),
  'ok-empty': file({ keys: [] }),
  'ok-every-value': file({
    keys: [
      key('u8', U8, u8(200)), key('i8', 1, u8(-2)), key('u16', U16, u16(60000)), key('i16', 3, u16(-2)),
      key('u32', U32, u32(4e9)), key('i32', 5, u32(-2)), key('f32', F32, f32(1.5)), key('bool', BOOL, u8(1)),
      key('string', STRING, text('text')), key('u64', U64, u64(2n ** 63n)), key('i64', 11, u64(-2)),
      key('f64', 12, Buffer.from(new Float64Array([-2.5]).buffer)),
      key('numbers', ARRAY, u32(5), u64(3), u32(-1), u32(0), u32(7)), key('nothing', ARRAY, u32(F32), u64(0)),
      key('strings', ARRAY, u32(STRING), u64(3), text('one'), text(''), text('three')),
    ],
    tensors: [tensor('a', [4, 2]), tensor('b', [32, 1, 3], { type: TYPE_Q4_0, offset: 32 })],
    data: 96,
  }),
  'ok-alignment-1': file({ keys: [key('general.alignment', U32, u32(1))], tensors: [weight, tensor('b', [1], { offset: 32 })], alignment: 1, data: 36 }),
  'ok-alignment-65536-without-tensors': file({ keys: [key('general.alignment', U32, u32(65536))] }),
  'ok-gap': file({ tensors: [weight, tensor('b', [8], { offset: 96 })], data: 128 }),
  'ok-shard': file({ keys: [key('split.no', U16, u16(0)), key('split.count', U16, u16(2)), key('split.tensors.count', 5, u32(2))], tensors: [weight] }),

  // The first bytes.
  'start-no-bytes': bytes([]),
  'start-shorter-than-magic': bytes('GG'),
  'start-other-magic': bytes(['ggml', u32(3), u64(0), u64(0)]),
  'start-magic-alone': bytes('GGUF'),
  'start-version-0': file({ version: 0 }),
  'start-version-1': file({ version: 1 }),
  'start-version-4': file({ version: 4 }),
  'start-big-endian': file({ version: 3 << 24 }),

  // Counts and lengths.
  'size-keys-beyond-file': file({ keyCount: 2n ** 40n }),
  'size-keys-wrap': file({ keyCount: 2n ** 63n }),
  'size-keys-one-too-many': file({ keyCount: 2 }),
  'size-tensors-beyond-file': file({ tensors: [weight], tensorCount: 2n ** 20n }),
  'size-tensors-wrap': file({ tensors: [weight], tensorCount: 2n ** 64n - 1n }),
  'size-tensors-above-limit': file({ tensors: [weight], tensorCount: 2n ** 20n + 1n }),
  'size-tensors-one-too-many': file({ tensors: [weight], tensorCount: 2, data: 0 }),
  'size-string-max': withKey('s', STRING, u64(2n ** 64n - 1n)),
  'size-string-beyond-file': withKey('s', STRING, u64(1000), 'short'),
  'size-string-above-limit': withKey('s', STRING, u64(2n ** 30n)),
  'size-key-length-max': file({ keys: [bytes([u64(2n ** 64n - 1n), Buffer.alloc(64, 'k')])] }),
  'size-key-length-65536': file({ keys: [bytes([u64(65536), Buffer.alloc(64, 'k')])] }),
  'size-name-length-256': file({ tensors: [bytes([u64(256), Buffer.alloc(64, 'n')])] }),
  'size-array-wraps': withKey('a', ARRAY, u32(U64), u64(2n ** 61n + 1n), u64(1)),
  'size-array-max': withKey('a', ARRAY, u32(U8), u64(2n ** 64n - 1n)),
  'size-array-beyond-file': withKey('a', ARRAY, u32(U32), u64(1000), u32(1)),
  'size-strings-wrap': withKey('a', ARRAY, u32(STRING), u64(2n ** 61n + 1n), text('x')),
  'size-strings-beyond-file': withKey('a', ARRAY, u32(STRING), u64(1000), text('x')),
  'size-string-in-array-max': withKey('a', ARRAY, u32(STRING), u64(2), text('x'), u64(2n ** 64n - 1n)),

  // Shapes and types.
  'shape-no-dims': withTensor('t', []),
  'shape-5-dims': withTensor('t', [1, 1, 1, 1, 1]),
  'shape-dims-max': withTensor('t', [1], { count: 0xffffffff }),
  'shape-zero': withTensor('t', [8, 0]),
  'shape-negative': withTensor('t', [2n ** 63n]),
  'shape-product-wraps': withTensor('t', [2n ** 32n, 2n ** 32n], { type: TYPE_I8 }),
  'shape-product-wraps-to-8': withTensor('t', [2n ** 61n + 1n, 8], { type: TYPE_I8 }),
  'shape-bytes-wrap': withTensor('t', [2n ** 62n + 8n]),
  'shape-quantized-bytes-wrap': withTensor('t', [2n ** 60n, 15], { type: TYPE_Q2_K + 5 }),
  'shape-padding-wraps': withTensor('t', [2n ** 63n - 3n], { type: TYPE_I8 }),
  'shape-half-block': withTensor('t', [48], { type: TYPE_Q4_0 }),
  'shape-block-of-32-for-256': withTensor('t', [32], { type: TYPE_Q2_K }),
  'shape-type-removed': withTensor('t', [32], { type: 4 }),
  'shape-type-unknown': withTensor('t', [32], { type: 43 }),
  'shape-type-own': withTensor('t', [64], { type: 65536 }),
  'shape-type-max': withTensor('t', [32], { type: 0xffffffff }),

  // Alignment and offsets.
  'place-alignment-0': aligned(U32, u32(0)),
  'place-alignment-3': aligned(U32, u32(3)),
  'place-alignment-huge': aligned(U32, u32(0x80000000)),
  'place-alignment-131072': aligned(U32, u32(131072)),
  'place-alignment-u64': aligned(U64, u64(32)),
  'place-alignment-text': aligned(STRING, text('32')),
  'place-alignment-array': aligned(ARRAY, u32(U32), u64(1), u32(32)),
  'place-alignment-beyond-file': file({ keys: [key('general.alignment', U32, u32(65536))], tensors: [weight] }),
  'place-offset-unaligned': withTensor('t', [4], { offset: 4 }),
  'place-offset-beyond-file': withTensor('t', [8], { offset: 4096 }),
  'place-offset-max': withTensor('t', [8], { offset: 2n ** 64n - 32n }),
  'place-data-missing': file({ tensors: [weight], data: 0 }),
  'place-data-cut': file({ tensors: [weight], data: 31 }),
  'place-same-place': file({ tensors: [weight, tensor('b', [8])] }),
  'place-overlap': file({ tensors: [tensor('a', [16]), tensor('b', [8], { offset: 32 })], data: 64 }),
  'place-backwards': file({ tensors: [tensor('a', [8], { offset: 32 }), tensor('b', [8])], data: 64 }),
  'place-sum-wraps': file({ tensors: [tensor('a', [2n ** 62n], { type: TYPE_I8 }), tensor('b', [2n ** 62n], { type: TYPE_I8, offset: 2n ** 62n })] }),

  // Keys and names.
  'key-twice': file({ keys: [some, key('n', U8, u8(1)), some] }),
  'key-empty': withKey('', U8, u8(1)),
  'key-type-unknown': withKey('k', 13, u64(0)),
  'key-type-max': withKey('k', 0xffffffff, u64(0)),
  'key-array-of-unknown': withKey('k', ARRAY, u32(13), u64(1), u64(0)),
  'key-array-of-arrays': withKey('k', ARRAY, u32(ARRAY), u64(1), u32(U8), u64(1), u8(1)),
  'key-arrays-nested-deep': withKey('k', ARRAY, Array.from({ length: 40 }, () => [u32(ARRAY), u64(1)])),
  'key-tensor-twice': file({ tensors: [weight, tensor('b', [8], { offset: 32 }), tensor('a', [8], { offset: 64 })], data: 96 }),
  'key-tensor-without-name': withTensor('', [8]),
  'key-shard-out-of-turn': split(1, 2),
  'key-shard-past-the-count': split(3, 2),
  'key-shards-too-many': split(0, 65535),
  'key-shards-wrap': split(0, 2n ** 32n + 1n, U64),
  'key-shard-text': file({ keys: [key('split.count', STRING, text('2'))], tensors: [weight] }),

  // What would be small again after a cut to 32 bits.
  'wide-keys': file({ keyCount: 2n ** 32n + 1n }),
  'wide-tensors': file({ tensors: [weight], tensorCount: 2n ** 32n + 1n }),
  'wide-string': withKey('s', STRING, u64(2n ** 32n + 4n), 'four'),
  'wide-key-length': file({ keys: [bytes([u64(2n ** 32n + 1n), 'k', u32(U8), u8(1)])] }),
  'wide-array': withKey('a', ARRAY, u32(U32), u64(2n ** 32n + 1n), u32(1)),
  'wide-array-bytes': withKey('a', ARRAY, u32(U32), u64(2n ** 30n + 1n), u32(1)),
  'wide-dim': withTensor('t', [2n ** 32n + 8n]),
  'wide-bytes': withTensor('t', [2n ** 30n + 8n]),
  'wide-offset': withTensor('t', [8], { offset: 2n ** 32n }),
};

// A Llama of one layer, 4 wide, whose vocabulary has 8 tokens.
const string = (name, value) => key(name, STRING, text(value));
const count = (name, value) => key(name, U32, u32(value));
const real = (name, value) => key(name, F32, f32(value));
const list = (name, type, values) => key(name, ARRAY, u32(type), u64(values.length), values);
const texts = ['<unk>', '<s>', '</s>', '<0x41>', '\u2581', 'a', 'b', '\u2581ab'];

const llama = {
  architecture: string('general.architecture', 'llama'),
  layers: count('llama.block_count', 1),
  width: count('llama.embedding_length', 4),
  feedForward: count('llama.feed_forward_length', 4),
  context: count('llama.context_length', 64),
  heads: count('llama.attention.head_count', 2),
  kvHeads: count('llama.attention.head_count_kv', 1),
  eps: real('llama.attention.layer_norm_rms_epsilon', 1e-5),
  tokenizer: string('tokenizer.ggml.model', 'llama'),
  tokens: list('tokenizer.ggml.tokens', STRING, texts.map(text)),
  scores: list('tokenizer.ggml.scores', F32, [0, 0, 0, 0, -1, -2, -3, -4].map(f32)),
  kinds: list('tokenizer.ggml.token_type', 5, [2, 3, 3, 6, 1, 1, 1, 1].map(u32)),
  bos: count('tokenizer.ggml.bos_token_id', 1),
  eos: count('tokenizer.ggml.eos_token_id', 2),
};

// [name, dims, type] of each weight; of types that `as` gives, the widths are a block's, 32.
const weightsAs = (as, wide = 8) => ({
  embd: ['token_embd.weight', [4 * wide, 8], as],
  outputNorm: ['output_norm.weight', [4 * wide], TYPE_F32],
  attnNorm: ['blk.0.attn_norm.weight', [4 * wide], TYPE_F32],
  q: ['blk.0.attn_q.weight', [4 * wide, 4 * wide], as],
  k: ['blk.0.attn_k.weight', [4 * wide, 2 * wide], as],
  v: ['blk.0.attn_v.weight', [4 * wide, 2 * wide], as],
  attnOutput: ['blk.0.attn_output.weight', [4 * wide, 4 * wide], as],
  ffnNorm: ['blk.0.ffn_norm.weight', [4 * wide], TYPE_F32],
  gate: ['blk.0.ffn_gate.weight', [4 * wide, 4 * wide], as],
  up: ['blk.0.ffn_up.weight', [4 * wide, 4 * wide], as],
  down: ['blk.0.ffn_down.weight', [4 * wide, 4 * wide], as],
});
const weights = weightsAs(TYPE_F32, 1);
const quantized = (as, others) =>
  model({
    width: count('llama.embedding_length', 32),
    feedForward: count('llama.feed_forward_length', 32),
    weights: weightsAs(as),
    ...others,
  });
const block = { [TYPE_I8]: [1, 1], [TYPE_F32]: [1, 4], [TYPE_F16]: [1, 2], [TYPE_Q4_0]: [32, 18], [TYPE_Q8_0]: [32, 34], [TYPE_IQ3_S]: [256, 110] };

// Formats of halfbyte's own (src/quant/private.h). Rows of 64 values as TABLE4 take 18 + 32 bytes,
// as NF4 3 + 32.
const own = {
  architecture: string('general.architecture', 'halfbyte-llama'),
  width: count('llama.embedding_length', 64),
  feedForward: count('llama.feed_forward_length', 64),
};
const typesOf = (...entries) => list('halfbyte.tensor_types', STRING, entries.map(text));
const featuresOf = (...entries) => list('halfbyte.features', STRING, entries.map(text));
const ownModel = ({ weights = {}, ...others } = {}) =>
  model({ ...own, weights: { ...weightsAs(TYPE_Q4_0, 16), ...weights }, ...others });
const tableK = { k: ['blk.0.attn_k.weight', [50, 32], TYPE_I8] };
const isTable = typesOf('blk.0.attn_k.weight TABLE4');
/** Outliers of attn_k, 32 rows of 64: of each row the columns; all values are 1. */
function outliers(rows, { start, pad = 0 } = {}) {
  const columns = rows.flat();
  let end = 0;
  const starts = start ?? [0, ...rows.map((row) => (end += row.length))];
  const part = (values) => bytes([values.map(u16), values.length % 2 ? u16(0) : []]);
  return bytes([starts.map(u32), part(columns), part(columns.map(() => 0x3c00)), Buffer.alloc(pad)]);
}
const rowsOf = (first) => Array.from({ length: 32 }, (_, i) => (i === 0 ? first : []));
const besideK = (data, { dims, type = TYPE_I8, name = 'blk.0.attn_k.outliers' } = {}) => ({
  outliers: [name, dims ?? [data.length], type, data],
});
const scaleOf = (name, value) => [`blk.0.${name}.input_scale`, [1], TYPE_F32, f32(value)];
const matrices = ['attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down'];
const scales = (value, others = {}) =>
  Object.fromEntries(matrices.map((name) => [name, scaleOf(name, others[name] ?? value)]));
const fixed = string('halfbyte.activations', 'tensor');
const skips = key('halfbyte.activations_skip_outliers', BOOL, u8(1));

/**
 * The model with some keys and weights replaced, added, or (null) left out. All bytes of weights are
 * `fill`, as a rule 1.0 in half precision: a sound scale, and a sound F32; or of a weight's own.
 */
function model({ weights: otherWeights = {}, fill = [0x00, 0x3c], ...otherKeys } = {}) {
  const present = (list) => Object.values(list).filter(Boolean);
  let offset = 0;
  const ownBytes = [];
  const tensors = present({ ...weights, ...otherWeights }).map(([name, dims, type, data]) => {
    const record = tensor(name, dims, { type, offset });
    const [values, size] = block[type];
    if (data) ownBytes.push({ data, offset });
    offset += Math.ceil((dims.reduce((a, b) => a * b) / values) * size / 32) * 32;
    return record;
  });
  const header = file({ keys: present({ ...llama, ...otherKeys }), tensors, data: 0 });
  const contents = Buffer.alloc(offset, Buffer.from(fill));
  for (const each of ownBytes) each.data.copy(contents, each.offset);
  return bytes([header, contents]);
}

const nan = [0x00, 0x7e];
const infinity = [0x00, 0x7c];
const largest = [0xff, 0x7b];
const withTokens = (tokens) => model({ tokens: list('tokenizer.ggml.tokens', STRING, tokens.map(text)) });
const replaced = (token, other) => texts.map((t) => (t === token ? other : t));

const hostileModels = {
  'ok-llama': model(),
  'ok-no-tokenizer': model({ tokenizer: null, tokens: null, scores: null, kinds: null }),
  'ok-f16': model({ weights: weightsAs(TYPE_F16, 1) }),
  'ok-q4': quantized(TYPE_Q4_0),
  'ok-q8': quantized(TYPE_Q8_0),
  'ok-nan': quantized(TYPE_Q4_0, { fill: nan }),
  'ok-infinity': quantized(TYPE_Q4_0, { fill: infinity }),
  'ok-largest': quantized(TYPE_Q8_0, { fill: largest }),
  'ok-minus-128': quantized(TYPE_Q8_0, { fill: [0x80, 0x80] }),
  'ok-empty-and-equal-tokens': withTokens(['', '', '</s>', '<0x41>', 'a', 'a', 'a', '']),
  'ok-scores-not-finite': model({ scores: list('tokenizer.ggml.scores', F32, [0, 0, 0, 0, NaN, Infinity, -Infinity, NaN].map(f32)) }),

  'number-no-architecture': model({ architecture: null }),
  'number-architecture-unknown': model({ architecture: string('general.architecture', 'lla%sma\n') }),
  'number-architecture-integer': model({ architecture: count('general.architecture', 1) }),
  'number-layers-0': model({ layers: count('llama.block_count', 0) }),
  'number-layers-max': model({ layers: count('llama.block_count', 0xffffffff) }),
  'number-layers-missing': model({ layers: null }),
  'number-layers-text': model({ layers: string('llama.block_count', '1') }),
  'number-layers-negative': model({ layers: key('llama.block_count', 5, u32(-1)) }),
  'number-layers-real': model({ layers: real('llama.block_count', 1) }),
  'number-layers-without-weights': model({ layers: count('llama.block_count', 2) }),
  'number-width-0': model({ width: count('llama.embedding_length', 0) }),
  'number-width-wide': model({ width: key('llama.embedding_length', U64, u64(2n ** 32n + 32n)) }),
  'number-heads-0': model({ heads: count('llama.attention.head_count', 0) }),
  'number-heads-3': model({ heads: count('llama.attention.head_count', 3), kvHeads: null }),
  'number-heads-wide': model({ heads: key('llama.attention.head_count', U64, u64(2n ** 32n + 2n)) }),
  'number-kv-heads-0': model({ kvHeads: count('llama.attention.head_count_kv', 0) }),
  'number-kv-heads-more': model({ kvHeads: count('llama.attention.head_count_kv', 4) }),
  'number-kv-heads-no-elements': model({ kvHeads: list('llama.attention.head_count_kv', U32, []) }),
  'number-head-size-huge': model({ headSize: count('llama.attention.key_length', 65536) }),
  'number-head-size-odd': model({ headSize: count('llama.attention.key_length', 3) }),
  'number-rope-dims-more': model({ rope: count('llama.rope.dimension_count', 4) }),
  'number-rope-dims-odd': model({ rope: count('llama.rope.dimension_count', 1) }),
  'number-rope-base-nan': model({ rope: real('llama.rope.freq_base', NaN) }),
  'number-rope-base-0': model({ rope: real('llama.rope.freq_base', 0) }),
  'number-rope-scaling-unknown': model({ rope: string('llama.rope.scaling.type', 'x') }),
  'number-rope-factor-negative': model({ rope: real('llama.rope.scaling.factor', -1) }),
  'number-context-0': model({ context: count('llama.context_length', 0) }),
  'number-context-max': model({ context: count('llama.context_length', 0xffffffff) }),
  'number-eps-nan': model({ eps: real('llama.attention.layer_norm_rms_epsilon', NaN) }),
  'number-eps-negative': model({ eps: real('llama.attention.layer_norm_rms_epsilon', -1) }),
  'number-experts': model({ experts: count('llama.expert_count', 8) }),

  'weight-missing': model({ weights: { down: null } }),
  'weight-transposed': model({ weights: { k: ['blk.0.attn_k.weight', [2, 4], TYPE_F32] } }),
  'weight-3-dims': model({ weights: { k: ['blk.0.attn_k.weight', [4, 1, 2], TYPE_F32] } }),
  'weight-vector-as-matrix': model({ weights: { attnNorm: ['blk.0.attn_norm.weight', [4, 4], TYPE_F32] } }),
  'weight-vector-of-blocks': quantized(TYPE_Q4_0, { weights: { ...weightsAs(TYPE_Q4_0), attnNorm: ['blk.0.attn_norm.weight', [32], TYPE_Q4_0] } }),
  'weight-one-row-less': model({ weights: { embd: ['token_embd.weight', [4, 7], TYPE_F32] } }),
  'weight-type-unsupported': model({ weights: { k: ['blk.0.attn_k.weight', [256, 2], TYPE_IQ3_S] } }),
  'weight-cut': model().subarray(0, -32),

  'own-ok-nothing': ownModel(),
  'own-ok-table4': ownModel({ weights: tableK, types: isTable, features: featuresOf('table4') }),
  'own-ok-nf4': ownModel({
    weights: { k: ['blk.0.attn_k.weight', [35, 32], TYPE_I8], embd: ['token_embd.weight', [35, 8], TYPE_I8] },
    types: typesOf('blk.0.attn_k.weight nf4', 'token_embd.weight FP4'),
  }),
  'own-ok-table3-nan': ownModel({ weights: { k: ['blk.0.attn_k.weight', [34, 32], TYPE_I8] }, types: typesOf('blk.0.attn_k.weight TABLE3'), fill: nan }),
  'own-ok-int2': ownModel({ weights: { k: ['blk.0.attn_k.weight', [20, 32], TYPE_I8] }, types: typesOf('blk.0.attn_k.weight int2_64') }),
  'own-ok-outliers': ownModel({ weights: besideK(outliers(rowsOf([0, 7, 63]))) }),
  'own-ok-outliers-none': ownModel({ weights: besideK(outliers(rowsOf([]))) }),
  'own-ok-token': ownModel({ activations: string('halfbyte.activations', 'token') }),
  'own-ok-tensor': ownModel({ activations: fixed, weights: scales(0.01) }),
  'own-ok-skip': ownModel({
    skips,
    weights: {
      ...besideK(outliers(rowsOf([3, 9]))),
      q: ['blk.0.attn_q.weight', [64, 64], TYPE_F16],
      v: ['blk.0.attn_v.weight', [64, 32], TYPE_F16],
    },
  }),
  'own-of-unknown': ownModel({ architecture: string('general.architecture', 'halfbyte-x') }),
  'own-of-nothing': ownModel({ architecture: string('general.architecture', 'halfbyte-') }),
  'own-twice': ownModel({ architecture: string('general.architecture', 'halfbyte-halfbyte-llama') }),
  'own-feature-unknown': ownModel({ features: featuresOf('nf4', 'xyz') }),
  'own-features-text': ownModel({ features: string('halfbyte.features', 'nf4') }),
  'own-features-of-numbers': ownModel({ features: list('halfbyte.features', U32, [u32(1)]) }),
  'own-type-in-stock-model': ownModel({ architecture: llama.architecture, weights: tableK, types: isTable }),
  'own-type-not-told': ownModel({ weights: tableK }),
  'own-type-of-stock': ownModel({ weights: tableK, types: typesOf('blk.0.attn_k.weight Q4_0') }),
  'own-type-unknown': ownModel({ weights: tableK, types: typesOf('blk.0.attn_k.weight NF5') }),
  'own-type-without-name': ownModel({ types: typesOf(' NF4') }),
  'own-type-alone': ownModel({ types: typesOf('NF4') }),
  'own-type-of-no-weight': ownModel({ types: typesOf('blk.1.attn_k.weight NF4') }),
  'own-type-twice': ownModel({ weights: tableK, types: typesOf('blk.0.attn_k.weight NF4', 'blk.0.attn_k.weight TABLE4') }),
  'own-type-of-absent': ownModel({ types: typesOf('output.weight NF4') }),
  'own-type-of-vector': ownModel({
    weights: { attnNorm: ['blk.0.attn_norm.weight', [35], TYPE_I8] },
    types: typesOf('blk.0.attn_norm.weight NF4'),
  }),
  'own-rows-short': ownModel({ weights: { k: ['blk.0.attn_k.weight', [49, 32], TYPE_I8] }, types: isTable }),
  'own-rows-few': ownModel({ weights: { k: ['blk.0.attn_k.weight', [50, 31], TYPE_I8] }, types: isTable }),
  'own-rows-of-f32': ownModel({ weights: { k: ['blk.0.attn_k.weight', [50, 32], TYPE_F32] }, types: isTable }),
  'own-outliers-of-f32': ownModel({ weights: besideK(outliers(rowsOf([1, 2])), { dims: [35], type: TYPE_F32 }) }),
  'own-outliers-2-dims': ownModel({ weights: besideK(outliers(rowsOf([1, 2])), { dims: [70, 2] }) }),
  'own-outliers-few-bytes': ownModel({ weights: besideK(outliers(rowsOf([])).subarray(0, 131)) }),
  'own-outliers-more-bytes': ownModel({ weights: besideK(outliers(rowsOf([1, 2]), { pad: 4 })) }),
  'own-outliers-count-max': ownModel({ weights: besideK(outliers([[1]], { start: [...Array(32).fill(0), 0xffffffff] })) }),
  'own-outliers-start': ownModel({ weights: besideK(outliers([[1]], { start: Array(33).fill(1) })) }),
  'own-outliers-start-back': ownModel({ weights: besideK(outliers([[1]], { start: [0, 9, ...Array(31).fill(1)] })) }),
  'own-outliers-column-outside': ownModel({ weights: besideK(outliers(rowsOf([1, 64]))) }),
  'own-outliers-column-twice': ownModel({ weights: besideK(outliers(rowsOf([1, 1]))) }),
  'own-outliers-of-embedding': ownModel({ weights: besideK(Buffer.alloc(36), { name: 'token_embd.outliers' }) }),
  'own-outliers-of-absent': ownModel({ weights: { k: null, ...besideK(outliers(rowsOf([1]))) } }),
  'own-activations-unknown': ownModel({ activations: string('halfbyte.activations', 'channel') }),
  'own-activations-number': ownModel({ activations: count('halfbyte.activations', 1) }),
  'own-skip-number': ownModel({ skips: count('halfbyte.activations_skip_outliers', 1) }),
  'own-skip-differs': ownModel({ skips, weights: besideK(outliers(rowsOf([3, 9]))) }),
  'own-scale-missing': ownModel({ activations: fixed, weights: { ...scales(0.01), ffn_up: null } }),
  'own-scale-differs': ownModel({ activations: fixed, weights: scales(0.01, { ffn_up: 0.02 }) }),
  'own-scale-0': ownModel({ activations: fixed, weights: scales(0) }),
  'own-scale-nan': ownModel({ activations: fixed, weights: scales(NaN) }),
  'own-scale-2-values': ownModel({
    activations: fixed,
    weights: { ...scales(0.01), ffn_up: ['blk.0.ffn_up.input_scale', [2], TYPE_F32, Buffer.alloc(8)] },
  }),

  'token-model-unknown': model({ tokenizer: string('tokenizer.ggml.model', 'rwkv') }),
  'token-model-integer': model({ tokenizer: count('tokenizer.ggml.model', 1) }),
  'token-list-of-integers': model({ tokens: list('tokenizer.ggml.tokens', U32, texts.map((_, i) => u32(i))) }),
  'token-list-no-array': model({ tokens: string('tokenizer.ggml.tokens', 'a') }),
  'token-list-empty': model({ tokens: list('tokenizer.ggml.tokens', STRING, []) }),
  'token-byte-negative': withTokens(replaced('<0x41>', '<0x-1>')),
  'token-byte-no-hex': withTokens(replaced('<0x41>', '<0xZZ>')),
  'token-byte-256': withTokens(replaced('<0x41>', '<0x100>')),
  'token-byte-short': withTokens(replaced('<0x41>', '<0x')),
  'token-scores-missing': model({ scores: null }),
  'token-scores-fewer': model({ scores: list('tokenizer.ggml.scores', F32, [0, 0].map(f32)) }),
  'token-scores-bytes': model({ scores: list('tokenizer.ggml.scores', U8, texts.map(() => u8(0))) }),
  'token-types-fewer': model({ kinds: list('tokenizer.ggml.token_type', 5, [1].map(u32)) }),
  'token-types-bytes': model({ kinds: list('tokenizer.ggml.token_type', 1, texts.map(() => u8(1))) }),
  'token-types-unknown': model({ kinds: list('tokenizer.ggml.token_type', 5, texts.map(() => u32(-1))) }),
  'token-bos-outside': model({ bos: count('tokenizer.ggml.bos_token_id', 8) }),
  'token-eos-max': model({ eos: count('tokenizer.ggml.eos_token_id', 0xffffffff) }),
  'token-eos-negative': model({ eos: key('tokenizer.ggml.eos_token_id', 5, u32(-1)) }),
  'token-pre-unknown': model({ tokenizer: string('tokenizer.ggml.model', 'gpt2'), pre: string('tokenizer.ggml.pre', '(a+)+$') }),
  'token-merges-missing': model({ tokenizer: string('tokenizer.ggml.model', 'gpt2') }),
};

// Saved states: how fuzz_state.c is to mend them, positions, bytes of tokens, keys and values.
const state = (how, positions, rest = 0, start = 'HBSTATE\0') =>
  bytes([u8(how), start, u32(1), u32(positions), Buffer.alloc(24), Buffer.from(Array.from({ length: rest }, (_, i) => i * 73))]);
const MENDED = 3, CUT = 4, WIDE = 8; // NAMED and SUMMED, CUT, a cache of F32

const states = {
  'ok-empty': state(MENDED, 0),
  'ok-one': state(MENDED, 1, 500),
  'ok-block': state(MENDED, 32, 4000),
  'ok-some': state(MENDED, 33, 9000),
  'ok-full': state(MENDED, 70, 20000),
  'ok-wide': state(MENDED | WIDE, 33, 20000),
  'header-none': bytes([u8(0)]),
  'header-cut': bytes([u8(CUT), 'HBSTATE']),
  'header-other-start': state(2, 3, 500, 'HBSTATUS'),
  'header-other-model': state(2, 3, 500),
  'header-positions-max': state(2, 0xffffffff, 500),
  'header-positions-more': state(2, 71, 500),
  'piece-damaged': state(1, 3, 500),
  'piece-cut': state(MENDED | CUT, 33, 100),
  'piece-cut-later': state(MENDED | CUT, 33, 3000),
};

// Files of Hugging Face folders, as fuzz_import.c tells them apart.
const tensors = (header, data = 0) => {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  return bytes(['s', u64(json.length), json, Buffer.alloc(data, 1)]);
};
const record = (dtype, shape, begin, end) => ({ dtype, shape, data_offsets: [begin, end] });
const json = (kind, value) => bytes([kind, typeof value === 'string' ? value : JSON.stringify(value)]);
const message = (field, ...parts) => {
  const body = bytes(parts);
  return bytes([u8((field << 3) | 2), u8(body.length), body]);
};
const piece = (text, score, kind) => message(1, message(1, text), u8(0x15), f32(score), kind ? [u8(0x18), u8(kind)] : []);
const pieces = (...parts) => bytes(['p', piece('<unk>', 0, 2), piece('<0x41>', 0, 6), piece('\u2581a', -1), parts]);
const trainer = message(2, u8(0x18), u8(2), u8(0xc0), u8(2), u8(0), u8(0xd8), u8(2), Buffer.alloc(9, 0xff), u8(1));
const bpe = { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b', ['a', 'b']] };
const added = [{ id: 3, content: '<s>', special: true }, { id: 4, content: '  ', special: false }];
const lists = { added_tokens: added, added_tokens_decoder: { 3: added[0] }, bos_token: '<s>', eos_token_id: [3, 1, 0], add_bos_token: true };
const config = (model_type, more) => json('c', {
  model_type, vocab_size: 8, hidden_size: 8, intermediate_size: 8, num_attention_heads: 2, num_hidden_layers: 1,
  max_position_embeddings: 64, ...more,
});
const rope = (rope_type, more) => ({ rope_scaling: { rope_type, factor: 2, ...more } });

const imports = {
  'json-values': json('j', '{"a\\u00e9\\ud83d\\ude00\\n":[1,-2.5e-3,true,false,null,{}],"\u2581":18446744073709551615}'),
  'json-deep': json('j', '['.repeat(70)),
  'json-lone-surrogate': json('j', '"\\udc00"'),
  'json-cut': json('j', '{"a":[1,{"b'),
  'tensors-ok': tensors({ __metadata__: { format: 'pt' }, a: record('F32', [2, 1], 0, 8), b: record('BF16', [], 8, 10) }, 10),
  'tensors-none': tensors({}),
  'tensors-overlap': tensors({ a: record('I8', [4], 0, 4), b: record('I8', [4], 2, 6) }, 6),
  'tensors-gap': tensors({ a: record('I8', [4], 0, 4), b: record('I8', [4], 6, 10) }, 10),
  'tensors-wrap': tensors('{"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}}', 4),
  'tensors-twice': tensors('{"a":{"dtype":"I8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"I8","shape":[0],"data_offsets":[0,0]}}'),
  'tensors-header-max': bytes(['s', u64(2n ** 64n - 1n), '{}']),
  'pieces-ok': pieces(trainer, message(3, u8(0x18), u8(0))),
  'pieces-without-trainer': pieces(),
  'pieces-cut': pieces(trainer).subarray(0, 20),
  'pieces-charsmap': pieces(trainer, message(3, message(2, 'x'))),
  'tokenizer-bytes': json('t', { model: bpe, pre_tokenizer: { type: 'ByteLevel' }, ...lists }),
  'tokenizer-split': json('t', {
    model: bpe, decoder: { type: 'ByteLevel' }, normalizer: { type: 'NFC' },
    pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: true }, { type: 'ByteLevel' }] },
    post_processor: { type: 'TemplateProcessing', single: [{ SpecialToken: { id: '<s>' } }, { Sequence: { id: 'A' } }] }, ...lists,
  }),
  'tokenizer-pieces': json('t', {
    model: { ...bpe, byte_fallback: true, unk_token: 'a' }, normalizer: { type: 'Prepend', prepend: '\u2581' },
    pre_tokenizer: { type: 'Metaspace', replacement: '\u2581', prepend_scheme: 'first' }, ...lists,
  }),
  'config-llama3': config('llama', rope('llama3', { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 32 })),
  'config-longrope': config('phi3', rope('longrope', { long_factor: [1, 2], short_factor: [1, 1] })),
  'config-yarn': config('qwen2', rope('yarn', { attention_factor: 1 })),
  'config-gemma': config('gemma3', { text_config: { model_type: 'gemma3_text', hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1 } }),
  'config-gpt2': config('gpt2', { n_embd: 8, activation_function: 'gelu_new' }),
  'config-neox': config('gpt_neox', { rotary_pct: 0.5, use_parallel_residual: false }),
};

// Adapters of the model of fuzz_adapter.c: 32 wide, one layer.
const loraKeys = (architecture = 'llama') => [
  key('general.type', STRING, text('adapter')), key('adapter.type', STRING, text('lora')),
  key('general.architecture', STRING, text(architecture)),
];
function adapter(pairs, { keys = loraKeys(), alpha = 8, type = TYPE_F32, data } = {}) {
  const tensors = [];
  let offset = 0;
  for (const [name, cols, rank, rows] of pairs)
    for (const [half, dims] of [['a', [cols, rank]], ['b', [rank, rows]]]) {
      tensors.push(tensor(`${name}.weight.lora_${half}`, dims, { type, offset }));
      offset += Math.ceil((dims[0] * dims[1] * (type === TYPE_F32 ? 4 : 2)) / 32) * 32;
    }
  const values = Buffer.from(Array.from({ length: data ?? offset }, (_, i) => (i % 2 ? 0x3c | ((i & 4) << 5) : i * 37)));
  const header = file({ keys: [...keys, ...(alpha === null ? [] : [key('adapter.lora.alpha', F32, f32(alpha))])], tensors, data: 0 });
  return bytes([header, values]);
}
const all = [
  ['blk.0.attn_q', 32, 2, 32], ['blk.0.attn_k', 32, 2, 16], ['blk.0.attn_v', 32, 3, 16], ['blk.0.attn_output', 32, 2, 32],
  ['blk.0.ffn_gate', 32, 1, 32], ['blk.0.ffn_up', 32, 2, 32], ['blk.0.ffn_down', 32, 9, 32],
];
const one = [['blk.0.attn_q', 32, 2, 32]];
const adapters = {
  'ok-all': adapter(all),
  'ok-f16': adapter(all, { type: TYPE_F16 }),
  'ok-bf16': adapter(all, { type: 30 }),
  'ok-without-alpha': adapter(one, { alpha: null }),
  'ok-rank-64': adapter([['blk.0.ffn_down', 32, 64, 32]]),
  'alpha-nan': adapter(one, { alpha: NaN }),
  'alpha-huge': adapter(one, { alpha: 1e30 }),
  'architecture-other': adapter(one, { keys: loraKeys('qwen2') }),
  'architecture-own': adapter(one, { keys: loraKeys('halfbyte-llama') }),
  'keys-none': adapter(one, { keys: [] }),
  'alora': adapter(one, { keys: [...loraKeys(), key('adapter.alora.invocation_tokens', ARRAY, u32(U32), u64(1), u32(3))] }),
  'split': adapter(one, { keys: [...loraKeys(), key('split.count', U16, u16(2))] }),
  'cut': adapter(one).subarray(0, -4),
  'layer-1': adapter([['blk.1.attn_q', 32, 2, 32]]),
  'embedding': adapter([['token_embd', 32, 2, 300]]),
  'norm': adapter([['blk.0.attn_norm', 32, 2, 1]]),
  'transposed': adapter([['blk.0.ffn_down', 2, 32, 2]]),
  'rank-4097': adapter([['blk.0.attn_q', 32, 4097, 32]], { data: 64 }),
  'nothing': file({ keys: loraKeys() }),
  'single': file({ keys: loraKeys(), tensors: [tensor('blk.0.attn_q.weight.lora_a', [32, 2])], data: 256 }),
  'q8_0': file({ keys: loraKeys(), tensors: [tensor('blk.0.attn_q.weight.lora_a', [32, 32], { type: TYPE_Q8_0 })], data: 1088 }),
};

function write(folder, seeds) {
  const to = join(import.meta.dirname, 'seeds', folder);
  mkdirSync(to, { recursive: true });
  for (const old of readdirSync(to)) if (!old.startsWith('found-')) rmSync(join(to, old));
  for (const [name, contents] of Object.entries(seeds)) writeFileSync(join(to, name), contents);
}

write('gguf', gguf);
write('model', hostileModels);
write('state', states);
write('adapter', adapters);
write('import', imports);
