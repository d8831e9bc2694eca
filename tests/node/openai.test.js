// The OpenAI interface of a model, without a server.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { AbortError, ArgumentError, ContextFullError, StateError, load } from '../../web/index.js';
import { openaiOf } from '../../web/openai.js';
import { PROMPT, collect, modelPath } from './support.js';
import { modelWith } from './template-model.js';

const greedy = { prompt: PROMPT, temperature: 0, max_tokens: 12 };

async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

describe('text completions', () => {
  let model;
  let openai;
  before(async () => {
    model = await load(modelPath);
    openai = model.openai;
  });
  after(() => model.dispose());

  test('have the text of model.generate in the shape of OpenAI', async () => {
    const { id, created, ...rest } = await openai.completions.create(greedy);
    const text = await collect(model.generate(PROMPT, { temperature: 0, maxTokens: 12 }));
    const tokens = (await model.tokenize(PROMPT)).length;
    assert.match(id, /^cmpl-[\da-f]{32}$/);
    assert.ok(Math.abs(created - Date.now() / 1000) < 60);
    assert.deepEqual(rest, {
      model: model.info.name,
      object: 'text_completion',
      choices: [{ index: 0, text, logprobs: null, finish_reason: 'length' }],
      usage: {
        prompt_tokens: tokens,
        completion_tokens: 12,
        total_tokens: tokens + 12,
        prompt_tokens_details: { cached_tokens: 0 },
      },
    });
  });

  test('come in chunks that make up the same', async () => {
    const { choices, usage } = await openai.completions.create(greedy);
    const stream = await openai.completions.create({
      ...greedy,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await all(stream);
    assert.equal(new Set(chunks.map(({ id }) => id)).size, 1);
    const last = chunks.pop();
    assert.deepEqual(last.choices, []);
    assert.equal(last.usage.total_tokens, usage.total_tokens);
    assert.ok(chunks.every((chunk) => chunk.usage === null && chunk.choices.length === 1));
    assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(''), choices[0].text);
    const finishes = chunks.map((chunk) => chunk.choices[0].finish_reason);
    assert.deepEqual(finishes.filter(Boolean), ['length']);
    assert.equal(finishes.at(-1), 'length');
    assert.throws(() => stream[Symbol.asyncIterator](), StateError);
  });

  test('tell no usage in chunks unless asked to', async () => {
    const chunks = await all(await openai.completions.create({ ...greedy, stream: true }));
    assert.ok(chunks.every((chunk) => !('usage' in chunk) && chunk.choices.length === 1));
  });

  test('have 16 tokens unless told otherwise', async () => {
    const { usage } = await openai.completions.create({ prompt: PROMPT, ignore_eos: true });
    assert.equal(usage.completion_tokens, 16);
  });

  test('give n choices of every prompt, by seeds that follow each other', async () => {
    const request = { prompt: [PROMPT, [1, 5, 9]], n: 2, seed: 7, max_tokens: 6 };
    const { choices, usage } = await openai.completions.create(request);
    assert.deepEqual(choices.map(({ index }) => index), [0, 1, 2, 3]);
    const expected = [];
    for (const prompt of request.prompt)
      for (const seed of [7, 8])
        expected.push(await collect(model.generate(prompt, { maxTokens: 6, seed })));
    assert.deepEqual(choices.map(({ text }) => text), expected);
    assert.equal(usage.prompt_tokens, (await model.tokenize(PROMPT)).length + 3);
    assert.equal((await openai.completions.create({ ...request, seed: -7 })).choices.length, 4);
    const chunks = await all(await openai.completions.create({ ...request, stream: true }));
    const texts = ['', '', '', ''];
    for (const { choices } of chunks) texts[choices[0].index] += choices[0].text;
    assert.deepEqual(texts, expected);
  });

  test('end before a stop text', async () => {
    const { choices } = await openai.completions.create({ ...greedy, max_tokens: 40 });
    const stop = choices[0].text.slice(20, 24);
    const stopped = await openai.completions.create({ ...greedy, max_tokens: 40, stop: [stop] });
    const [{ text, finish_reason: reason }] = stopped.choices;
    assert.equal(reason, 'stop');
    assert.equal(text, choices[0].text.slice(0, choices[0].text.indexOf(stop)));
  });

  test('end with length where the context is full', async () => {
    const prompt = Array(model.info.contextLength - 2).fill(5);
    const request = { prompt, max_tokens: 100, ignore_eos: true };
    const { choices } = await openai.completions.create(request);
    assert.equal(choices[0].finish_reason, 'length');
  });

  test('tell log-probabilities and where their texts stand', async () => {
    const { choices } = await openai.completions.create({ ...greedy, logprobs: 0 });
    const [{ text, logprobs }] = choices;
    assert.equal(logprobs.tokens.length, 12);
    assert.equal(logprobs.tokens.join(''), text);
    assert.equal(logprobs.top_logprobs, null);
    assert.ok(logprobs.token_logprobs.every((logprob) => logprob <= 0));
    logprobs.tokens.forEach((token, i) =>
      assert.equal(text.slice(logprobs.text_offset[i]).slice(0, token.length), token),
    );
    const chunks = await all(await openai.completions.create({ ...greedy, logprobs: 0, stream: true }));
    const told = chunks.flatMap((chunk) => chunk.choices[0].logprobs?.text_offset ?? []);
    assert.deepEqual(told, logprobs.text_offset);
  });

  test('echo the prompt, and follow logit_bias', async () => {
    const echoed = await openai.completions.create({ ...greedy, echo: true });
    assert.ok(echoed.choices[0].text.startsWith(PROMPT));
    const [token] = await model.tokenize('x', { bos: false });
    const biased = await openai.completions.create({ ...greedy, logit_bias: { [token]: 100 } });
    const plain = await openai.completions.create(greedy);
    assert.notEqual(biased.choices[0].text, plain.choices[0].text);
  });

  test('stop when they are aborted', async () => {
    const controller = new AbortController();
    controller.abort();
    const { signal } = controller;
    await assert.rejects(openai.completions.create(greedy, { signal }), AbortError);
    const late = new AbortController();
    const pending = openai.completions.create({ ...greedy, max_tokens: 400 }, late);
    late.abort();
    await assert.rejects(pending, AbortError);
    const stream = await openai.completions.create({ ...greedy, max_tokens: 400, stream: true });
    stream.controller.abort();
    const finishes = (await all(stream)).map((chunk) => chunk.choices[0].finish_reason);
    assert.ok(finishes.every((finish) => finish === null));
    const left = await openai.completions.create({ ...greedy, max_tokens: 400, stream: true });
    for await (const chunk of left) if (chunk) break;
    assert.equal((await openai.completions.create(greedy)).usage.completion_tokens, 12);
  });

  test('reject before the first chunk what cannot be done', async () => {
    const prompt = Array(model.info.contextLength + 1).fill(5);
    const pending = openai.completions.create({ prompt, stream: true });
    await assert.rejects(pending, ContextFullError);
  });

  test('name the field that is wrong', async () => {
    for (const [field, value] of [
      ['n', 0],
      ['context_policy', 'all'],
      ['n', 1.5],
      ['temperature', -1],
      ['temperature', '1'],
      ['top_p', 2],
      ['max_tokens', 0],
      ['max_tokens', NaN],
      ['frequency_penalty', 3],
      ['presence_penalty', Infinity],
      ['seed', 0.5],
      ['stop', ''],
      ['stop', [3]],
      ['logit_bias', [1]],
      ['logit_bias', { x: 1 }],
      ['logit_bias', { 5: 101 }],
      ['stream', 'yes'],
      ['stream_options', { include_usage: true }],
      ['response_format', { type: 'json_object' }],
      ['prompt', []],
      ['prompt', [[]]],
      ['prompt', [1, -1]],
      ['prompt', { text: 'x' }],
      ['suffix', 'x'],
      ['best_of', 2],
      ['logprobs', 3],
    ])
      await assert.rejects(
        openai.completions.create({ ...greedy, [field]: value }),
        (error) =>
          error instanceof ArgumentError && error.param === field && error.message.startsWith(field),
        `${field}: ${JSON.stringify(value)}`,
      );
    for (const body of [undefined, null, 'x', []])
      await assert.rejects(openai.completions.create(body), ArgumentError);
  });
});

/** Stands for a model that can chat: says what it was asked, a word a token. */
class StandIn {
  info = { name: 'stand-in', width: 3, tokenizer: { eos: 2 } };
  /** @type {any[]} */ calls = [];
  finishReason = 'stop';

  get openai() {
    return openaiOf(this);
  }

  async *chat(messages, options) {
    this.calls.push({ messages, options });
    const words = ['Well', ', ', messages.at(-1).content, '', '.'];
    for (const [i, text] of words.entries())
      yield { text, token: 10 + i, ...(options.logprobs && { logprob: -i }) };
    yield { text: '', token: 2, ...(options.logprobs && { logprob: -9 }) };
    yield {
      text: '',
      finishReason: this.finishReason,
      usage: { promptTokens: 7, cachedTokens: 3, completionTokens: words.length + 1 },
    };
  }

  async embed(texts, options) {
    this.calls.push({ texts, options });
    return texts.map((text) => Float32Array.of(text.length, 0.5, -1));
  }

  async tokenize(text) {
    return [...text];
  }
}

const hello = { messages: [{ role: 'user', content: 'hello' }] };

describe('chat completions', () => {
  test('have the shape of OpenAI', async () => {
    const { id, created, ...rest } = await new StandIn().openai.chat.completions.create(hello);
    assert.match(id, /^chatcmpl-/);
    assert.ok(Number.isInteger(created));
    assert.deepEqual(rest, {
      model: 'stand-in',
      object: 'chat.completion',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Well, hello.', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: {
        prompt_tokens: 7,
        completion_tokens: 6,
        total_tokens: 13,
        prompt_tokens_details: { cached_tokens: 3 },
      },
    });
  });

  test('begin with the role and end with the finish reason in chunks', async () => {
    const request = { ...hello, n: 2, stream: true, stream_options: { include_usage: true } };
    const chunks = await all(await new StandIn().openai.chat.completions.create(request));
    const { usage, choices } = chunks.pop();
    assert.deepEqual(choices, []);
    assert.equal(usage.prompt_tokens, 7);
    assert.equal(usage.completion_tokens, 12);
    assert.equal(usage.total_tokens, 19);
    for (const index of [0, 1]) {
      const told = chunks.map((chunk) => chunk.choices[0]).filter((each) => each.index === index);
      assert.equal(told[0].delta.role, 'assistant');
      assert.deepEqual(told.at(-1).delta, {});
      assert.equal(told.at(-1).finish_reason, 'stop');
      assert.equal(told.map(({ delta }) => delta.content ?? '').join(''), 'Well, hello.');
    }
    assert.ok(chunks.every(({ object }) => object === 'chat.completion.chunk'));
  });

  test('tell log-probabilities of tokens, but not of the end', async () => {
    const request = { ...hello, logprobs: true };
    const { choices } = await new StandIn().openai.chat.completions.create(request);
    const { content } = choices[0].logprobs;
    assert.equal(content.map(({ token }) => token).join(''), 'Well, hello.');
    assert.deepEqual(content[1], { token: ', ', logprob: -1, bytes: [44, 32], top_logprobs: [] });
    assert.ok(content.every(({ logprob }) => logprob > -9));
  });

  test('call a full context length', async () => {
    const model = new StandIn();
    model.finishReason = 'context';
    const { choices } = await model.openai.chat.completions.create(hello);
    assert.equal(choices[0].finish_reason, 'length');
  });

  test('hand messages, tools and variables to model.chat', async () => {
    const model = new StandIn();
    const messages = [
      { role: 'developer', content: 'Be kind.' },
      { role: 'user', content: [{ type: 'text', text: 'a' }], extra: 1 },
    ];
    const tools = [{ type: 'function', function: { name: 'f', parameters: {} } }];
    await model.openai.chat.completions.create({
      messages,
      tools,
      chat_template_kwargs: { enable_thinking: false },
      max_tokens: 5,
      max_completion_tokens: 6,
      top_k: 4,
      context_policy: 'shift',
    });
    const [call] = model.calls;
    assert.deepEqual(call.messages, [{ role: 'system', content: 'Be kind.' }, messages[1]]);
    assert.deepEqual(call.options.tools, tools);
    assert.deepEqual(call.options.templateVariables, { enable_thinking: false });
    assert.equal(call.options.maxTokens, 6);
    assert.equal(call.options.topK, 4);
    assert.equal(call.options.contextPolicy, 'shift');
    await model.openai.chat.completions.create({ ...hello, tools, tool_choice: 'none' });
    assert.equal(model.calls[1].options.tools, undefined);
  });

  test('tell the calls of tools, whole and in chunks', async () => {
    const model = new StandIn();
    const said = [
      'Let me see.<tool',
      '_call>\n{"name": "f", "argu',
      'ments": {"x": "</b>"}}\n</tool_call>\n<tool_call>{"name":"g"}',
    ];
    model.chat = async function* () {
      for (const text of said) yield { text, token: 5 };
      const usage = { promptTokens: 7, cachedTokens: 0, completionTokens: 3 };
      yield { text: '', finishReason: this.finishReason, usage };
    };
    const tools = [{ type: 'function', function: { name: 'f', parameters: {} } }];
    const { choices } = await model.openai.chat.completions.create({ ...hello, tools });
    const [{ message, finish_reason: reason }] = choices;
    assert.equal(reason, 'tool_calls');
    assert.equal(message.content, 'Let me see.');
    assert.ok(message.tool_calls.every(({ id, type }) => id.startsWith('call_') && type === 'function'));
    assert.deepEqual(message.tool_calls.map((call) => call.function), [
      { name: 'f', arguments: '{"x":"</b>"}' },
      { name: 'g', arguments: '{}' },
    ]);

    const request = { ...hello, tools, stream: true };
    const chunks = await all(await model.openai.chat.completions.create(request));
    const told = chunks.map((chunk) => chunk.choices[0]);
    const calls = told.flatMap(({ delta }) => delta.tool_calls ?? []);
    assert.deepEqual(calls.map((call) => [call.index, call.function.name]), [[0, 'f'], [1, 'g']]);
    assert.equal(told.map(({ delta }) => delta.content ?? '').join(''), 'Let me see.\n');
    assert.equal(told.at(-1).finish_reason, 'tool_calls');

    // Without tools, and where it is no call, it is text.
    const plain = await model.openai.chat.completions.create(hello);
    assert.equal(plain.choices[0].message.content, said.join(''));
    assert.equal(plain.choices[0].finish_reason, 'stop');
    for (const text of ['<tool_call>{"name": 3}</tool_call>', 'a <tool_call>{"na', '<tool_', 'a < b']) {
      said.splice(0, said.length, ...text);
      const { choices } = await model.openai.chat.completions.create({ ...hello, tools });
      assert.equal(choices[0].message.content, text);
      assert.equal(choices[0].finish_reason, 'stop');
    }
  });

  test('name the field that is wrong', async () => {
    const openai = new StandIn().openai;
    for (const [param, body] of [
      ['messages', {}],
      ['messages', { messages: [] }],
      ['messages', { messages: { role: 'user' } }],
      ['tool_choice', { ...hello, tool_choice: 'required' }],
      ['top_logprobs', { ...hello, logprobs: true, top_logprobs: 2 }],
      ['functions', { ...hello, functions: [{}] }],
    ])
      await assert.rejects(openai.chat.completions.create(body), { code: 'ARGUMENT', param });
  });

  test("follow a model's own template, and need one", async () => {
    const template = "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}";
    const model = await load(modelWith({ 'tokenizer.chat_template': template }));
    const request = { ...hello, temperature: 0, max_tokens: 8 };
    try {
      const { choices, usage } = await model.openai.chat.completions.create(request);
      const text = await collect(
        model.generate('user: hello ', { temperature: 0, maxTokens: 8 }),
      );
      assert.equal(choices[0].message.content, text);
      assert.equal(usage.completion_tokens, 8);
      const again = await model.openai.chat.completions.create(request);
      assert.equal(again.choices[0].message.content, text);
      const { prompt_tokens: tokens, prompt_tokens_details: details } = again.usage;
      assert.equal(details.cached_tokens, tokens - 1);
      const deep = JSON.parse('['.repeat(70) + ']'.repeat(70));
      for (const message of [{ role: 'god' }, 'x', { role: 'user', content: 3 }, { ...hello.messages[0], deep }])
        await assert.rejects(
          model.openai.chat.completions.create({ messages: [message] }),
          (error) => error instanceof ArgumentError && error.message.startsWith('messages[0]'),
        );
    } finally {
      await model.dispose();
    }
    const plain = await load(modelPath);
    for (const stream of [false, true])
      await assert.rejects(plain.openai.chat.completions.create({ ...hello, stream }), {
        code: 'NO_TEMPLATE',
      });
    await plain.dispose();
  });
});

describe('embeddings', () => {
  test('come as numbers or as base64', async () => {
    const model = new StandIn();
    const input = ['a', 'bcd'];
    const floats = await model.openai.embeddings.create({ input });
    assert.deepEqual(floats, {
      object: 'list',
      data: [
        { object: 'embedding', index: 0, embedding: [1, 0.5, -1] },
        { object: 'embedding', index: 1, embedding: [3, 0.5, -1] },
      ],
      model: 'stand-in',
      usage: { prompt_tokens: 4, total_tokens: 4 },
    });
    const { data } = await model.openai.embeddings.create({
      input: 'abc',
      encoding_format: 'base64',
    });
    const bytes = Buffer.from(data[0].embedding, 'base64');
    assert.deepEqual([0, 4, 8].map((at) => bytes.readFloatLE(at)), [3, 0.5, -1]);
  });

  test('are the vectors of model.embed, of texts and of tokens', async () => {
    const model = await load(modelPath);
    const tokens = await model.tokenize('a cat');
    const [vector] = await model.embed(['a cat']);
    for (const input of ['a cat', tokens, [tokens]]) {
      const { data, usage } = await model.openai.embeddings.create({ input });
      assert.deepEqual(Float32Array.from(data[0].embedding), vector);
      assert.equal(usage.prompt_tokens, tokens.length);
    }
    await model.dispose();
  });

  test('name the field that is wrong', async () => {
    for (const [param, body] of [
      ['input', {}],
      ['input', { input: '' }],
      ['input', { input: [] }],
      ['input', { input: [1, -2] }],
      ['input', { input: ['x', ''] }],
      ['dimensions', { input: 'x', dimensions: 2 }],
      ['encoding_format', { input: 'x', encoding_format: 'int8' }],
    ])
      await assert.rejects(new StandIn().openai.embeddings.create(body), { code: 'ARGUMENT', param });
  });
});
