// The hostile files of the fuzz targets in the WASM modules, where a size_t has 32 bits: each ends
// with the very error that it ends with natively (tests/unit/test_gguf_hostile.c, test_model_hostile.c).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { root } from './support.js';

const fuzz = `${root}tests/fuzz/`;

for (const topic of ['gguf', 'model']) {
  const expectations = Object.entries(JSON.parse(readFileSync(`${fuzz}${topic}.json`, 'utf8')));
  const refused = expectations.filter(([, { status }]) => status !== 'OK');

  test(`the hostile files of ${topic} end with the errors that they end with natively`, async () => {
    for (const [name, { status, message }] of refused) {
      const error = await load(readFileSync(`${fuzz}seeds/${topic}/${name}`), { threads: 1 }).then(
        (model) => model.dispose(),
        (reason) => reason,
      );
      assert.equal(error?.code, status, `${name}: ${error}`);
      assert.ok(error.message.includes(message), `${name}: ${error}`);
    }
  });
}
