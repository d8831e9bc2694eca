// The WebAssembly modules as files.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Core } from '../../web/core.js';
import { root } from './support.js';

const BUDGET = 300 * 1024;
const QUANTIZE_BUDGET = 512_000;
const TRAIN_BUDGET = 400_000;
const names = ['simd', 'simd-threads', 'relaxed', 'relaxed-threads'];
const path = (name) => `${root}build/wasm/halfbyte-${name}.wasm`;

describe('the modules', () => {
  test('stay within 300 KB each', () => {
    for (const name of names) {
      const { length } = readFileSync(path(name));
      assert.ok(length <= BUDGET, `${name}: ${length} bytes`);
    }
  });

  test('that quantizes stays within 500 KB', () => {
    const { length } = readFileSync(path('quantize'));
    assert.ok(length <= QUANTIZE_BUDGET, `${length} bytes`);
  });

  test('that trains stays within 400 KB', () => {
    const { length } = readFileSync(path('train'));
    assert.ok(length <= TRAIN_BUDGET, `${length} bytes`);
  });

  test('import their memory, those with threads a clock, and the ones that quantize and train more', () => {
    const memory = { module: 'env', name: 'memory', kind: 'memory' };
    const called = (name) => ({ module: 'env', name, kind: 'function' });
    const wanted = {
      simd: [memory],
      'simd-threads': [memory, called('now')],
      synthetic: [memory],
      hash: [memory],
      quantize: [
        memory,
        ...['now', 'budget', 'choose', 'progress', 'read', 'report', 'write'].map(called),
      ],
      train: [memory, ...['now', 'read', 'write'].map(called)],
    };
    for (const [name, list] of Object.entries(wanted)) {
      const module = new WebAssembly.Module(readFileSync(path(name)));
      const names = (imports) => imports.map((each) => JSON.stringify(each)).sort();
      assert.deepEqual(names(WebAssembly.Module.imports(module)), names(list));
    }
  });
});

test('generated.js is what its generator makes of halfbyte.h', () => {
  const script = fileURLToPath(new URL('../../wasm/generate-tables.js', import.meta.url));
  execFileSync(process.execPath, [script, '--check']);
});

async function makeCore(maximum = 65536) {
  const memory = new WebAssembly.Memory({ initial: 64, maximum });
  const module = await WebAssembly.compile(readFileSync(path('simd')));
  return new Core(await WebAssembly.instantiate(module, { env: { memory } }), memory);
}

test('after a trap nothing can be called any more', async () => {
  const core = await makeCore();
  const at = core.allocate(100);
  core.release(at, 100);
  assert.throws(() => core.release(at, 100), { code: 'ENGINE', message: /hb_wasm_release/ });
  assert.equal(core.dead, true);
  assert.throws(() => core.allocate(1), { code: 'ENGINE' });
});

test('an address outside of memory counts as a breakdown', async () => {
  const core = await makeCore();
  assert.throws(() => core.text(2 ** 32 - 8, 100), { code: 'ENGINE' });
  assert.equal(core.dead, true);
});

describe('the heap', () => {
  test('gives aligned blocks that do not overlap, and takes them back', async () => {
    const core = await makeCore();
    const before = core.call('hb_wasm_heap_used');
    const blocks = [];
    let state = 12345;
    const random = (n) => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) % n;
    for (let turn = 0; turn < 4000; turn++) {
      if (blocks.length > 60 || (blocks.length > 0 && random(3) === 0)) {
        const [{ at, size, mark }] = blocks.splice(random(blocks.length), 1);
        const { bytes } = core;
        assert.ok(bytes.subarray(at, at + size).every((byte) => byte === mark));
        core.release(at, size);
      } else {
        const size = random(2) ? random(200) : random(100000);
        const at = core.allocate(size);
        const mark = turn % 256;
        assert.equal(at % 64, 0);
        core.bytes.fill(mark, at, at + size);
        blocks.push({ at, size, mark });
      }
    }
    for (const { at, size } of blocks) core.release(at, size);
    assert.equal(core.call('hb_wasm_heap_used'), before);
  });

  test('joins freed neighbours, so that the same memory serves again', async () => {
    const core = await makeCore();
    const round = (size) => {
      const blocks = Array.from({ length: 50 }, () => core.allocate(size));
      for (const at of blocks) core.release(at, size);
    };
    round(100000);
    const grown = core.memory.buffer.byteLength;
    for (const size of [1, 1000, 99999, 33333]) round(size);
    core.release(core.allocate(5000000), 5000000);
    assert.equal(core.memory.buffer.byteLength, grown);
  });

  test('says when there is no more, and lives on', async () => {
    const core = await makeCore(128);
    assert.throws(() => core.allocate(2 ** 31 - 1), { code: 'MEMORY' });
    assert.throws(() => core.allocate(2 ** 32 - 1), { code: 'MEMORY' });
    assert.throws(() => core.allocate(8 << 20), { code: 'MEMORY' });
    const at = core.allocate(6 << 20);
    assert.throws(() => core.allocate(6 << 20), { code: 'MEMORY' });
    core.release(at, 6 << 20);
    core.release(core.allocate(6 << 20), 6 << 20);
  });
});
