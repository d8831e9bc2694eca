import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { AbortError, load } from '../../web/index.js';
import { PROMPT, collect, greedy, modelPath } from './support.js';

const aborted = (error) => {
  assert.ok(error instanceof AbortError, String(error));
  assert.equal(error.name, 'AbortError');
  assert.equal(error.code, 'ABORTED');
  return true;
};

describe('abort', () => {
  let model;
  before(async () => (model = await load(modelPath)));
  after(() => model.dispose());

  const works = async () =>
    assert.ok((await collect(model.generate(PROMPT, { ...greedy, maxTokens: 3 }))).length > 0);

  test('before anything began', async () => {
    const signal = AbortSignal.abort(new Error('why'));
    await assert.rejects(load(modelPath, { signal }), (error) => {
      assert.equal(error.cause.message, 'why');
      return aborted(error);
    });
    await assert.rejects(model.logits([1, 2], { signal }), aborted);
    await assert.rejects(model.tokenize('x', { signal }), aborted);
    const parts = [];
    for await (const part of model.stream(PROMPT, { signal })) parts.push(part);
    assert.deepEqual(
      parts.map((part) => part.finishReason),
      ['abort'],
    );
  });

  test('while the model loads', async () => {
    const controller = new AbortController();
    const loading = load(modelPath, { signal: controller.signal });
    setTimeout(() => controller.abort(), 5);
    await assert.rejects(loading, aborted);
  });

  test('while a server keeps silent', async () => {
    const server = createServer((request, response) => {
      response.writeHead(200, { 'Content-Length': 1000 });
      response.write('GGUF');
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const controller = new AbortController();
    const url = `http://127.0.0.1:${server.address().port}/`;
    const loading = load(url, { cache: false, signal: controller.signal });
    setTimeout(() => controller.abort(), 100);
    await assert.rejects(loading, aborted);
    server.closeAllConnections();
    server.close();
  });

  test('while the prompt is read', async () => {
    const controller = new AbortController();
    const prompt = `${PROMPT} `.repeat(30);
    let end;
    const stream = model.stream(prompt, {
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    for await (const part of stream) end = part;
    assert.equal(end.finishReason, 'abort');
    assert.equal(end.usage.completionTokens, 0);
    await works();
  });

  test('between two tokens', async () => {
    const controller = new AbortController();
    let end;
    let parts = 0;
    const options = { signal: controller.signal, maxTokens: 400, ignoreEos: true };
    for await (const part of model.stream(PROMPT, options)) {
      if (++parts === 3) controller.abort();
      end = part;
    }
    assert.equal(end.finishReason, 'abort');
    assert.ok(end.usage.completionTokens >= 3 && end.usage.completionTokens < 100);
    await works();
  });

  test('while logits are computed, and while waiting for the turn', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const tokens = Array(200).fill(5);
    const refused = [
      assert.rejects(model.logits(tokens, { split: 'single', signal }), aborted),
      assert.rejects(model.logits(tokens, { signal }), aborted),
    ];
    const ended = model.stream(PROMPT, { signal }).next();
    setTimeout(() => controller.abort(), 10);
    await Promise.all(refused);
    assert.equal((await ended).value.finishReason, 'abort');
    await works();
  });

  test('by leaving the loop', async () => {
    for await (const text of model.generate(PROMPT, { ignoreEos: true })) {
      assert.ok(text);
      break;
    }
    const begun = performance.now();
    await works();
    assert.ok(performance.now() - begun < 2000, 'the generation went on');
  });

  test('leaves no listener on the signal', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    let listeners = 0;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...args) => (listeners++, addEventListener.apply(signal, args));
    signal.removeEventListener = (...args) => (
      listeners--,
      removeEventListener.apply(signal, args)
    );
    await model.tokenize('x', { signal });
    await collect(model.generate(PROMPT, { signal, maxTokens: 2 }));
    assert.equal(listeners, 0);
  });
});
