// Conversations that are put away and taken up again, in the same model and in one loaded anew.
import assert from 'node:assert/strict';
import { mkdtempSync, openAsBlob, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  AbortError,
  ArgumentError,
  ContextFullError,
  FormatError,
  TruncatedError,
  load,
} from '../../web/index.js';
import { PROMPT, modelPath } from './support.js';
import { modelWith } from './template-model.js';

const options = { maxTokens: 10, temperature: 0.9, seed: 5, logprobs: true };

/** Tokens and log-probabilities of a continuation, and its usage. */
async function continued(model, prompt) {
  const drawn = [];
  let usage;
  for await (const part of model.stream(prompt, options)) {
    if (part.finishReason) usage = part.usage;
    else if (part.token !== undefined) drawn.push([part.token, part.logprob]);
  }
  return { drawn, usage };
}

describe('a state', () => {
  let model, tokens, state, next, expected;
  before(async () => {
    model = await load(modelPath);
    tokens = await model.tokenize(`${PROMPT} lived in a house. `.repeat(5));
    const { drawn } = await continued(model, tokens);
    state = await model.saveState();
    next = [...tokens, ...drawn.map(([token]) => token), ...tokens.slice(1, 9)];
    expected = await continued(model, next);
  });
  after(() => model.dispose());

  test('is a Blob, whose text is not read again in a model loaded anew', async () => {
    assert.ok(state instanceof Blob && state.size > tokens.length * 1000);
    const other = await load(modelPath, { threads: 1, contextLength: 300 });
    const held = await other.restoreState(state);
    assert.equal(held, tokens.length + options.maxTokens - 1);
    const { drawn, usage } = await continued(other, next);
    assert.equal(usage.cachedTokens, held);
    assert.deepEqual(drawn, expected.drawn);
    await other.dispose();
  });

  test('has the same bytes on every instruction set, and after it was restored', async () => {
    const bytes = async (blob) => Buffer.from(await blob.arrayBuffer());
    const other = await load(modelPath, { isa: 'scalar' });
    await continued(other, tokens);
    assert.ok((await bytes(await other.saveState())).equals(await bytes(state)));
    await other.dispose();
    await continued(model, [5, 6, 7]);
    await model.restoreState(state);
    assert.ok((await bytes(await model.saveState())).equals(await bytes(state)));
  });

  test('is read from a file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'halfbyte-'));
    const file = join(folder, 'state');
    writeFileSync(file, Buffer.from(await state.arrayBuffer()));
    await continued(model, [5, 6, 7]);
    assert.ok((await model.restoreState(await openAsBlob(file))) > tokens.length);
    assert.deepEqual((await continued(model, next)).drawn, expected.drawn);
    rmSync(folder, { recursive: true });
  });

  test('that is damaged, cut off or none at all is refused, and the model goes on', async () => {
    const bytes = Buffer.from(await state.arrayBuffer());
    const flipped = (at) => {
      const copy = Buffer.from(bytes);
      copy[at] ^= 4;
      return new Blob([copy]);
    };
    const cases = [
      [flipped(0), FormatError],
      [flipped(8), FormatError],
      [flipped(15), ContextFullError],
      [flipped(17), ArgumentError],
      [flipped(50), FormatError],
      [flipped(bytes.length >> 1), FormatError],
      [flipped(bytes.length - 1), FormatError],
      [new Blob([bytes.subarray(0, -1)]), TruncatedError],
      [new Blob([bytes, 'x']), TruncatedError],
      [new Blob([bytes.subarray(0, 20)]), FormatError],
      [new Blob([]), FormatError],
      [new Blob(['x'.repeat(1000)]), FormatError],
      ['text', ArgumentError],
      [bytes, ArgumentError],
    ];
    for (const [i, [blob, Class]] of cases.entries()) {
      await assert.rejects(model.restoreState(blob), (error) => {
        assert.ok(error instanceof Class, `case ${i}: ${error}`);
        return true;
      });
      assert.deepEqual((await continued(model, next)).drawn, expected.drawn);
    }
  });

  test('of another model, cache or a longer text is refused', async () => {
    const kv = await load(modelPath, { kv: 'f32' });
    await assert.rejects(kv.restoreState(state), ArgumentError);
    await kv.dispose();
    const short = await load(modelPath, { contextLength: 32 });
    await assert.rejects(short.restoreState(state), ContextFullError);
    await short.dispose();
    const scaled = await load(modelWith({ 'llama.remark': 'another training' }));
    await assert.rejects(scaled.restoreState(state), /belongs to another model/);
    await scaled.dispose();
  });

  test('of a model that has read nothing is empty', async () => {
    const other = await load(modelPath);
    const empty = await other.saveState();
    assert.equal(await other.restoreState(empty), 0);
    assert.equal(await model.restoreState(empty), 0);
    assert.equal((await continued(model, next)).usage.cachedTokens, 0);
    await other.dispose();
  });

  test('is not saved or restored when aborted', async () => {
    const signal = AbortSignal.abort();
    await assert.rejects(model.saveState({ signal }), AbortError);
    await assert.rejects(model.restoreState(state, { signal }), AbortError);
    const controller = new AbortController();
    const restoring = model.restoreState(state, { signal: controller.signal });
    await model.tokenize('x');
    controller.abort();
    await assert.rejects(restoring, AbortError);
    assert.deepEqual((await continued(model, next)).drawn, expected.drawn);
  });
});
