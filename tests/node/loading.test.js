// Loading with several threads.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { Core } from '../../web/core.js';
import { ISA } from '../../web/generated.js';
import { load } from '../../web/index.js';
import { loadModel } from '../../web/loader.js';
import { makeMemory } from '../../web/variants.js';
import { root } from './support.js';

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
    const memory = makeMemory(true);
    const file = readFileSync(`${root}build/wasm/halfbyte-simd-threads.wasm`);
    const module = await WebAssembly.compile(file);
    const core = new Core(await WebAssembly.instantiate(module, { env: { memory } }), memory);
    const parallel = core.call('hb_wasm_parallel', 1, 0);
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
    const how = { isa: ISA.simd128, parallel, headerOnly: false, emit: () => {} };
    const { model } = await loadModel(core, [source], how);
    assert.ok(model);
    assert.equal(given, parallel);
  });
});
