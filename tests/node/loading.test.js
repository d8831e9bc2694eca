// Loading with several threads.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { load } from '../../web/index.js';
import { loadModel } from '../../web/loader.js';
import { makeMachine } from '../../web/variants.js';

// Its matrices arrive in pieces that are worth dividing, from 128 KiB on.
const SHAPE = '256,2,4,2,1024,2000';
const TOKENS = [1, 50, 299, 3, 77, 1999, 12];

describe('loading', () => {
  for (const type of ['q4_0', 'q4_k_m', 'q8_0', 'f16'])
    test(`${type} with two threads gives the logits of loading with one`, async () => {
      const logits = [];
      for (const threads of [1, 2]) {
        const model = await load({ shape: SHAPE, type }, { threads });
        assert.equal(model.info.threads, threads);
        logits.push(await model.logits(TOKENS));
        await model.dispose();
      }
      assert.deepEqual(new Uint8Array(logits[1].buffer), new Uint8Array(logits[0].buffer));
    });

  test('is divided over the threads that sessions use', async () => {
    const { core, isa, parallel } = await makeMachine({ threads: 2 }, async () => {});
    const { hb_loader_create } = core.exports;
    let given;
    core.exports = {
      ...core.exports,
      hb_loader_create: (options, ...rest) => {
        given = core.read('hb_load_options', options).parallel;
        return hb_loader_create(options, ...rest);
      },
    };
    const source = { kind: 'synthetic', shape: SHAPE, type: 'q4_0', seed: 1n };
    // Its second thread was not started, so nothing may be packed.
    await loadModel(core, [source], { isa, parallel, headerOnly: true, emit: () => {} });
    assert.notEqual(parallel, 0);
    assert.equal(given, parallel);
  });
});
