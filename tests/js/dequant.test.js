// The second decoder against the values that llama.cpp's gguf-py decodes from files of every type.
// The C decoder is held to the same hashes in tests/unit/test_quant_vectors.c.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { decodeTensor, readGguf, types } from './dequant.js';

const folder = join(process.env.HB_SHARED || join(import.meta.dirname, '../../../shared'), 'vectors/quant');
const expectations = join(folder, 'dequant.json');
const shared = existsSync(expectations) ? {} : { skip: `skipped: no shared data (${expectations})` };

function sha256(values) {
  const bytes = new DataView(new ArrayBuffer(4 * values.length));
  values.forEach((value, i) => bytes.setFloat32(4 * i, value, true));
  return createHash('sha256').update(bytes).digest('hex');
}

const files = [
  'f32', 'F16', 'BF16', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'Q2_K', 'Q3_K_M', 'Q4_K_M', 'Q5_K_M',
  'Q6_K', 'IQ4_NL', 'IQ4_XS', 'TQ1_0', 'TQ2_0', 'MXFP4_MOE',
];

for (const file of files) {
  test(`${file}.gguf decodes to the recorded values`, shared, () => {
    const expected = JSON.parse(readFileSync(expectations, 'utf8'))[`${file}.gguf`];
    const buffer = readFileSync(join(folder, `${file}.gguf`));
    const tensors = readGguf(buffer);
    assert.deepEqual(tensors.map((tensor) => tensor.name).sort(), Object.keys(expected).sort());
    for (const tensor of tensors) {
      const { type, dims, first4, sha256: hash } = expected[tensor.name];
      assert.equal(types[tensor.type].name, type);
      assert.deepEqual(tensor.dims, dims);
      const values = decodeTensor(buffer, tensor);
      assert.deepEqual(Array.from(values.subarray(0, 4)), first4, tensor.name);
      assert.equal(sha256(values), hash, tensor.name);
    }
  });
}

test('a type that nobody decodes is refused', shared, () => {
  const buffer = readFileSync(join(folder, 'IQ3_S.gguf'));
  const tensor = readGguf(buffer).find(({ type }) => type === 21);
  assert.throws(() => decodeTensor(buffer, tensor), /not supported/);
});
