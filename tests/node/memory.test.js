import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from '../../web/index.js';

const MB = 1e6;

// The embedding takes 35 MB and each matrix of a feed forward 4.5 MB.
const model = { shape: '1024,6,16,4,4096,32000', type: 'q8_0' };

for (const threads of [1, 2]) {
  test(`no second copy of a tensor is in the memory of ${threads} threads`, async (t) => {
    const loaded = await load(model, { threads, contextLength: 256 });
    const { memoryBytes, weightBytes, sessionBytes } = loaded.info;
    await loaded.dispose();
    const more = memoryBytes - weightBytes - sessionBytes;
    t.diagnostic(`${(more / MB).toFixed(1)} MB more than weights and session`);
    assert.ok(weightBytes > 100 * MB);
    assert.ok(more < 16 * MB, `${(more / MB).toFixed(1)} MB more than weights and session`);
  });
}
