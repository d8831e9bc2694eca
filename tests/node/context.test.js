// Texts that outgrow the context: what is left out, and that what follows is what would follow the
// rest as a prompt.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ArgumentError, ContextFullError, load } from '../../web/index.js';
import { PROMPT, modelPath } from './support.js';

const CONTEXT = 64;
const KEPT = 48;
const greedy = { temperature: 0, ignoreEos: true, logprobs: true };

describe('a text longer than the context', () => {
  let model, tokens;
  before(async () => {
    model = await load(modelPath, { contextLength: CONTEXT });
    tokens = (await model.tokenize(`${PROMPT} lived in a house. `.repeat(8))).slice(0, 100);
  });
  after(() => model.dispose());

  /** Tokens with their log-probabilities, and the end. */
  async function run(stream) {
    const drawn = [];
    let end;
    for await (const part of stream) {
      if (part.finishReason) end = part;
      else if (part.token !== undefined) drawn.push([part.token, part.logprob]);
    }
    return { drawn, end };
  }
  const continued = (prompt, options) => run(model.stream(prompt, { ...greedy, ...options }));

  /** What is kept of tokens. */
  const shifted = (all) => [...all.slice(0, 1), ...all.slice(1 - KEPT)];
  const middle = (all) => [...all.slice(0, KEPT / 4), ...all.slice((-KEPT * 3) / 4)];

  test('is refused as a prompt, with the numbers', async () => {
    await assert.rejects(continued(tokens, {}), (error) => {
      assert.ok(error instanceof ContextFullError);
      assert.match(error.message, /100 tokens and the context 64/);
      return true;
    });
    assert.equal((await continued(tokens.slice(0, 60), {})).end.finishReason, 'context');
    await assert.rejects(continued(tokens, { contextPolicy: 'forget' }), ArgumentError);
  });

  for (const [contextPolicy, kept] of [
    ['shift', shifted],
    ['truncateMiddle', middle],
  ]) {
    test(`is shortened as a prompt by ${contextPolicy}`, async () => {
      const { drawn, end } = await continued(tokens, { contextPolicy, maxTokens: 5 });
      assert.equal(end.usage.promptTokens, KEPT);
      assert.equal(end.usage.droppedTokens, tokens.length - KEPT);
      assert.deepEqual(drawn, (await continued(kept(tokens), { maxTokens: 5 })).drawn);
    });

    test(`goes on beyond the context by ${contextPolicy}`, async () => {
      const prompt = tokens.slice(0, 60);
      const { drawn, end } = await continued(prompt, { contextPolicy, maxTokens: 150 });
      assert.equal(end.finishReason, 'length');
      assert.equal(end.usage.completionTokens, 150);
      assert.equal(drawn.length, 150);
      let text = [...prompt, ...drawn.slice(0, 4).map(([token]) => token)];
      let dropped = 0;
      for (let at = 4; at < 150; at += CONTEXT - KEPT) {
        text = kept(text);
        dropped += CONTEXT - KEPT;
        const next = drawn.slice(at, at + CONTEXT - KEPT);
        const maxTokens = next.length;
        assert.deepEqual((await continued(text, { maxTokens })).drawn, next, `from token ${at}`);
        text = [...text, ...next.map(([token]) => token)];
      }
      assert.equal(end.usage.droppedTokens, dropped);
    });
  }

  test('loses whole turns if it is a conversation, and no system prompt', async () => {
    const turn = (i) => [
      { role: 'user', content: `question ${i}?` },
      { role: 'assistant', content: `answer ${i}.` },
    ];
    const system = { role: 'system', content: 'Be brief.' };
    const turns = [1, 2, 3, 4, 5, 6].map(turn);
    const last = { role: 'user', content: 'the last question?' };
    const chatTemplate = '{% for m in messages %}{{ m.role + ": " + m.content + eos_token }}{% endfor %}';
    const tokensOf = (...messages) => model.chatTokens(messages.flat(2), { chatTemplate });
    const options = { ...greedy, chatTemplate, maxTokens: 3 };
    const answered = (contextPolicy) => run(model.chat([system, ...turns.flat(), last], { ...options, contextPolicy }));
    const whole = (await tokensOf(system, turns, last)).length;
    assert.ok(whole > CONTEXT);
    const choices = {
      shift: (left) => [system, turns.slice(left).flat(), last],
      truncateMiddle: (left) => [system, turns[0], turns.slice(1 + left).flat(), last],
    };
    for (const [policy, choice] of Object.entries(choices)) {
      let left = 1;
      while ((await tokensOf(...choice(left))).length > KEPT) left++;
      const expected = await tokensOf(...choice(left));
      const { drawn, end } = await answered(policy);
      assert.equal(end.usage.promptTokens, expected.length, policy);
      assert.equal(end.usage.droppedTokens, whole - expected.length, policy);
      assert.deepEqual(drawn, (await continued(expected, { maxTokens: 3 })).drawn, policy);
    }
  });
});

test('a context too short to leave any out says so', async () => {
  const model = await load(modelPath, { contextLength: 2 });
  const shift = { contextPolicy: 'shift' };
  await assert.rejects(model.stream([1, 5, 6], shift).next(), ContextFullError);
  await model.dispose();
});
