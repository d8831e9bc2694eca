// What a model has read is not read again: the cache of the last text serves the next one as far as
// they begin alike, and nothing but the time tells.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { load } from '../../web/index.js';
import { PROMPT, modelPath } from './support.js';

const options = { maxTokens: 12, temperature: 0.9, seed: 5, logprobs: true };

/** Tokens and log-probabilities of a continuation, and its end. */
async function continued(model, prompt, more = {}) {
  const drawn = [];
  let end;
  for await (const part of model.stream(prompt, { ...options, ...more })) {
    if (part.finishReason) end = part;
    else if (part.token !== undefined) drawn.push([part.token, part.logprob]);
  }
  return { drawn, end };
}

describe('a model that has read a text', () => {
  let model;
  before(async () => (model = await load(modelPath)));
  after(() => model.dispose());

  /** The same in a model that has read nothing. */
  async function fresh(prompt) {
    const other = await load(modelPath);
    try {
      return await continued(other, prompt);
    } finally {
      await other.dispose();
    }
  }

  test('reads of the next only what differs, with the same bits', async () => {
    const tokens = await model.tokenize(`${PROMPT} lived in a house. `.repeat(8));
    const first = await continued(model, tokens);
    assert.equal(first.end.usage.cachedTokens, 0);
    const answer = first.drawn.map(([token]) => token);
    const turns = [...tokens, ...answer, ...(await model.tokenize('And then', { bos: false }))];
    const cases = [
      ['the same text', tokens, tokens.length - 1],
      ['a part of it', tokens.slice(0, 40), 39],
      ['another end', [...tokens.slice(0, 37), ...tokens.slice(60)], 37],
    ];
    for (const [name, prompt, cached] of cases) {
      const again = await continued(model, prompt);
      assert.deepEqual(again.drawn, (await fresh(prompt)).drawn, name);
      assert.ok(again.end.usage.cachedTokens >= cached, name);
      assert.equal(again.end.usage.promptTokens, prompt.length);
      await continued(model, tokens);
    }
    const next = await continued(model, turns);
    // The last token of an answer has been drawn but not read.
    assert.equal(next.end.usage.cachedTokens, tokens.length + answer.length - 1);
    assert.deepEqual(next.drawn, (await fresh(turns)).drawn);
  });

  test('reads a text without a common beginning from its start', async () => {
    const prompt = [5, 6, 7, 8];
    const { drawn, end } = await continued(model, prompt);
    assert.equal(end.usage.cachedTokens, 0);
    assert.deepEqual(drawn, (await fresh(prompt)).drawn);
  });

  test('uses what was read of a text whose reading was aborted', async () => {
    const tokens = await model.tokenize(`${PROMPT} `.repeat(30));
    const controller = new AbortController();
    const { signal } = controller;
    const onProgress = () => controller.abort();
    const { end } = await continued(model, [...tokens].reverse(), { signal, onProgress });
    assert.equal(end.finishReason, 'abort');
    const { drawn } = await continued(model, tokens);
    assert.deepEqual(drawn, (await fresh(tokens)).drawn);
  });

  test('reads anew after a measurement, which uses the same cache', async () => {
    await continued(model, PROMPT);
    await model.bench({ prompt: 8, generate: 2, repeat: 1 });
    const { drawn, end } = await continued(model, PROMPT);
    assert.equal(end.usage.cachedTokens, 0);
    assert.deepEqual(drawn, (await fresh(PROMPT)).drawn);
  });
});
