// Models with random weights, which are made from a shape.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ArgumentError, inspect, load } from '../../web/index.js';
import { parityHash } from '../../web/parity.js';
import { collect, greedy, native, nativeProgram, needs } from './support.js';

const SHAPE = '64,2,4,2,128,300'; // width, layers, heads, KV heads, feed-forward, vocabulary
const TOKENS = [1, 50, 299, 3, 77, 250, 12];

describe('a model made from a shape', () => {
  test('is one to generate with', async () => {
    const model = await load({ shape: SHAPE }, { threads: 1 });
    const { width, layers, heads, kvHeads, feedForward, vocabulary } = model.info;
    assert.equal([width, layers, heads, kvHeads, feedForward, vocabulary].join(), SHAPE);
    assert.ok((await collect(model.generate('a', greedy))).length > 0);
    await model.dispose();
  });

  test('has the weights of the file that the native program writes', needs(nativeProgram), async () => {
    const folder = mkdtempSync(join(tmpdir(), 'halfbyte-test-'));
    const file = join(folder, 'model.gguf');
    try {
      for (const [type, seed] of [['q4_0', 1], ['q8_0', 5], ['nf4', 2], ['table4', 3]]) {
        await native('synth', '--shape', SHAPE, '--type', type, '--seed', `${seed}`, '-o', file);
        const model = await load({ shape: SHAPE, type, seed }, { threads: 1 });
        const expected = await native('parity', '-m', file, '--tokens', TOKENS.join(','));
        assert.equal(await parityHash(await model.logits(TOKENS)), expected, type);
        await model.dispose();
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('can be inspected', async () => {
    const { tensors } = await inspect({ shape: 'smollm2-135m', type: 'q8_0' });
    assert.equal(tensors.find(({ name }) => name === 'token_embd.weight').type, 'Q8_0');
    const own = await inspect({ shape: SHAPE, type: 'nf4' });
    assert.equal(own.tensors.find(({ name }) => name === 'blk.1.attn_k.weight').type, 'NF4');
    assert.equal(own.architecture, 'llama');
  });

  test('is refused with the reason when its shape or type is wrong', async () => {
    for (const [source, said] of [
      [{ shape: '64,2' }, /shape 64,2/],
      [{ shape: SHAPE, type: 'q9' }, /type q9/],
      [{ shape: SHAPE, type: 4 }, /type must be a text/],
      [{ shape: SHAPE, seed: -1 }, /seed/],
    ])
      await assert.rejects(load(source), (error) => {
        assert.ok(error instanceof ArgumentError);
        return said.test(error.message);
      });
  });
});
