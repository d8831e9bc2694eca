import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { EnvironmentError, capabilities, defaultModel, load } from '../../web/index.js';
import { makeMachine } from '../../web/variants.js';

const { validate } = WebAssembly;
const { SharedArrayBuffer } = globalThis;

/** Makes the engine deny features: those whose probe holds one of these bytes in its code. */
function deny(...opcodes) {
  WebAssembly.validate = (bytes) =>
    validate(bytes) && !opcodes.some((opcode) => bytes.subarray(20).includes(opcode));
}

const SIMD_POPCNT = 98;
const RELAXED_DOT = 146;
const ATOMIC = 254;

describe('capabilities', () => {
  afterEach(() => {
    WebAssembly.validate = validate;
    globalThis.SharedArrayBuffer = SharedArrayBuffer;
  });

  test('of this Node', () => {
    const { simd, relaxedSimd, threads, memory, variant } = capabilities();
    const [major] = process.versions.node.split('.').map(Number);
    assert.deepEqual(simd, { available: true });
    assert.equal(relaxedSimd.available, major >= 22);
    assert.ok(threads.available && threads.count >= 1 && threads.count <= 8);
    assert.ok(memory.maximum === 2 ** 32 && memory.device > 2 ** 20);
    assert.equal(variant, major >= 22 ? 'relaxed-threads' : 'simd-threads');
  });

  test('say why something is missing, and what to do', async () => {
    deny(RELAXED_DOT);
    assert.equal(capabilities().variant, 'simd-threads');
    deny(ATOMIC);
    assert.equal(capabilities().threads.count, 1);
    deny(SIMD_POPCNT);
    const { simd, variant } = capabilities();
    assert.equal(variant, undefined);
    assert.ok(simd.reason && simd.fix);
    await assert.rejects(
      makeMachine({}, async () => {}),
      EnvironmentError,
    );
    WebAssembly.validate = validate;
    globalThis.SharedArrayBuffer = undefined;
    const { threads } = capabilities();
    assert.match(threads.reason, /cross-origin isolated/);
    assert.match(threads.fix, /Cross-Origin-Embedder-Policy/);
  });

  test('name what a model runs on after all, when the first choice fails', async () => {
    const machine = await makeMachine({ threads: 2 }, () =>
      Promise.reject(new Error('no workers')),
    );
    assert.equal(machine.threads, 1);
    assert.equal(machine.variant, capabilities().variant.replace('-threads', ''));
    assert.match(machine.notes[0], /-threads: no workers/);
    assert.match(machine.threadsReason, /no workers/);
  });

  test('leave a model with one thread where workers cannot start', async () => {
    const { Worker } = process.getBuiltinModule('node:worker_threads');
    const { postMessage } = Worker.prototype;
    Worker.prototype.postMessage = function (message, ...rest) {
      return postMessage.call(this, message.line ? { ...message, line: null } : message, ...rest);
    };
    const model = await load(defaultModel, { threads: 2 });
    Worker.prototype.postMessage = postMessage;
    assert.equal(model.info.threads, 1);
    assert.match(model.info.threadsReason, /a thread did not start/);
    await model.dispose();
  });

  test('are not needed for an instruction set that is asked for', async () => {
    const machine = await makeMachine({ threads: 1, isa: 'scalar' }, async () => {});
    assert.equal(machine.variant, 'simd');
    assert.equal(machine.isa, 0);
    deny(RELAXED_DOT);
    await assert.rejects(
      makeMachine({ isa: 'relaxed' }, async () => {}),
      EnvironmentError,
    );
  });
});
