// Writes the hand-made seeds of the fuzz targets: node tests/fuzz/make_seeds.js. Every file of
// seeds/gguf is a regression test too: tests/unit/test_gguf_hostile.c says how each must be refused.
// The names begin with what the file attacks: `size` counts and lengths, `shape` dimensions and
// types, `place` alignment and offsets, `key` metadata, `wide` what 32 bits cannot hold.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const U8 = 0, U16 = 2, U32 = 4, F32 = 6, BOOL = 7, STRING = 8, ARRAY = 9, U64 = 10;
const TYPE_F32 = 0, TYPE_Q4_0 = 2, TYPE_Q2_K = 10, TYPE_I8 = 24;

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

function write(folder, seeds) {
  const to = join(import.meta.dirname, 'seeds', folder);
  mkdirSync(to, { recursive: true });
  for (const old of readdirSync(to)) if (!old.startsWith('found-')) rmSync(join(to, old));
  for (const [name, contents] of Object.entries(seeds)) writeFileSync(join(to, name), contents);
}

write('gguf', gguf);
