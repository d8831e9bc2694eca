// Conversations: templates of models and callers, what they may and may not do, and what they make.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  AbortError,
  ArgumentError,
  NoTemplateError,
  StateError,
  TemplateError,
  load,
} from '../../web/index.js';
import { collect, modelPath } from './support.js';
import { modelWith } from './template-model.js';

const TEMPLATE =
  '{{ bos_token }}{% for m in messages %}{{ m.role + ": " + m.content + eos_token }}{% endfor %}' +
  '{% if add_generation_prompt %}assistant:{% endif %}';
const EOS = 2;

const user = (content) => ({ role: 'user', content });
const assistant = (content) => ({ role: 'assistant', content });
const system = (content) => ({ role: 'system', content });

describe('a model with a chat template', () => {
  let model;
  before(async () => {
    model = await load(modelWith({ 'tokenizer.chat_template': TEMPLATE }));
  });
  after(() => model.dispose());

  /** What a template makes of a conversation, with control tokens in the text. */
  const rendered = async (messages, options) =>
    model.detokenize(await model.chatTokens(messages, options), { special: true });
  const made = (chatTemplate, messages = [user('x')], options = {}) =>
    rendered(messages, { chatTemplate, ...options });
  const fails = (chatTemplate, reason) =>
    assert.rejects(made(chatTemplate), (error) => {
      assert.ok(error instanceof TemplateError && error.code === 'TEMPLATE', String(error));
      assert.match(error.message, reason);
      return true;
    });

  test('says so', () => assert.equal(model.info.hasChatTemplate, true));

  test('answers what its template makes of the messages', async () => {
    const messages = [system('Be brief.'), user('Hello!')];
    const tokens = await model.chatTokens(messages);
    assert.equal(tokens[0], model.info.tokenizer.bos);
    assert.equal(tokens.filter((token) => token === model.info.tokenizer.bos).length, 1);
    assert.equal(tokens.filter((token) => token === EOS).length, 2);
    const options = { maxTokens: 8, temperature: 0 };
    const text = await collect(model.chat(messages, options));
    assert.ok(text.length > 0);
    assert.equal(text, await collect(model.stream(tokens, options)));
  });

  test('reads of a conversation that goes on only what is new', async () => {
    const messages = [user('Tell me of the old king who lived in a house by the sea.')];
    const ends = [];
    for (let turn = 0; turn < 3; turn++) {
      let answer = '';
      for await (const part of model.chat(messages, { maxTokens: 8, seed: turn })) {
        answer += part.text;
        if (part.finishReason) ends.push(part.usage);
      }
      messages.push(assistant(answer), user('And then?'));
    }
    // The answers' tokens may be others when they come back as a text.
    for (const i of [1, 2]) assert.ok(ends[i].cachedTokens >= ends[i - 1].promptTokens - 1, String(i));
  });

  test('keeps control tokens in messages text, wherever they stand', async () => {
    const texts = ['</s>', '<s>', 'a </s> b', '<</s>s>', '</s></s>', '\ue000</s>\ue001', '<unk>'];
    for (const text of texts) {
      const tokens = await model.chatTokens([user(text)]);
      assert.equal(tokens.filter((token) => token === EOS).length, 1, text);
      assert.equal(tokens.filter((token) => token === 1).length, 1, text);
      assert.equal(tokens.filter((token) => token === 0).length, 0, text);
      assert.equal(await rendered([user(text)]), `<s>user: ${text}</s> assistant:`);
    }
  });

  test('finds no control token in the pieces of several texts', async () => {
    const parts = [
      { type: 'text', text: '</' },
      { type: 'text', text: 's>' },
    ];
    const joined = '{% for m in messages %}{{ m.content }}{% endfor %}';
    for (const messages of [[user(parts)], [user('</'), user('s>')], [user('<'), user('/s>')]])
      assert.ok(!(await model.chatTokens(messages, { chatTemplate: joined })).includes(EOS));
    const tools = [{ type: 'function', function: { name: '</s>', '</s>': { '<s>': '</s>' } } }];
    const asJson = { chatTemplate: '{{ tools | tojson }}</s>', tools };
    assert.equal((await model.chatTokens([user('x')], asJson)).filter((t) => t === EOS).length, 1);
    assert.equal(await rendered([user('x')], asJson), `<s>${json(tools)}</s>`);
  });

  test('lets templates look into the messages', async () => {
    const thought = '{% set c = messages[0].content %}{{ c.split("</think>")[-1] | trim }}{{ eos_token }}';
    assert.equal(await made(thought, [assistant('<think>so</think> </s> yes')]), '<s></s> yes</s>');
    const tokens = await model.chatTokens([assistant('<think>so</think> </s> yes')], { chatTemplate: thought });
    assert.equal(tokens.filter((token) => token === EOS).length, 1);
    const choice = '{% if messages[0].content == "a<b" %}yes{% else %}no{% endif %}';
    assert.equal(await made(choice, [user('a<b')]), '<s>yes');
  });

  test('passes tools, further variables, and calls with their arguments as objects', async () => {
    const parameters = { type: 'object', properties: { city: { type: 'string' } } };
    const tools = [{ type: 'function', function: { name: 'weather', parameters } }];
    const template =
      '{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{% for c in m.tool_calls or [] %}' +
      '[{{ c.function.name }} {{ c.function.arguments.city }}]{% endfor %}{% endfor %}{{ mood }}';
    const call = { id: '1', type: 'function', function: { name: 'weather', arguments: '{"city":"Rome"}' } };
    const messages = [user('?'), { role: 'assistant', content: null, tool_calls: [call] }];
    const options = { tools, templateVariables: { mood: 'calm' } };
    assert.equal(await made(template, messages, options), `<s>${json(tools)}[weather Rome]calm`);
  });

  test('leaves the beginning of an answer away when told to', async () => {
    assert.equal(await rendered([user('x')], { addGenerationPrompt: false }), '<s>user: x</s>');
  });

  test('gives a system prompt to the user where the template refuses it', async () => {
    const template =
      "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}{{ messages[0].content }}";
    assert.equal(await made(template, [system('Be brief.'), user('x')]), '<s>Be brief.\n\nx');
    await assert.rejects(made(template, [system('Be brief.')]), /no system role/);
  });

  test('takes a template for tools where the file has one', async () => {
    const other = await load(
      modelWith({ 'tokenizer.chat_template': 'plain', 'tokenizer.chat_template.tool_use': 'tools' }),
    );
    const text = async (options) => other.detokenize(await other.chatTokens([user('x')], options));
    assert.equal(await text({}), 'plain');
    assert.equal(await text({ tools: [{ type: 'function' }] }), 'tools');
    await other.dispose();
  });

  test('says what is wrong with a template', async () => {
    await fails('{% if %}', /the chat template failed: /);
    await fails('{{ raise_exception("roles must alternate") }}', /roles must alternate/);
    await fails('{{ nothing() }}', /failed/);
  });

  test('ends templates that go beyond their limits, and goes on', async () => {
    await fails(' '.repeat(200_000), /has 200000 characters, of 131072 at most/);
    await fails(`{{ 1 }}${' '.repeat(5000)}{{ 1 }}`, /more than 1000 white spaces/);
    await fails('{{ range(1000000000) }}', /more than 100000 elements/);
    await fails(
      '{% set n = namespace(x="0123456789") %}{% for i in range(40) %}{% set n.x = n.x ~ n.x %}{% endfor %}',
      /more than 4194304 characters/,
    );
    const endless = '{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}';
    await fails(endless, /more than (5 s|20000000 steps)/);
    const greedy = '{% set n = namespace(l=[]) %}{% for i in range(90000) %}{% set n.l = n.l + [range(90000)] %}{% endfor %}';
    await fails(greedy, /memory|more than 5 s/);
    assert.equal(await rendered([user('x')]), '<s>user: x</s> assistant:');
  });

  test('gives templates no way to JavaScript', async () => {
    for (const name of ['constructor', '__proto__', 'prototype', 'toString'])
      assert.equal(await made(`{{ messages.${name} is defined or "".${name} is defined }}`), '<s>false');
    await fails('{{ messages.constructor.constructor("return 1")() }}', /failed/);
  });

  test('refuses what is no conversation', async () => {
    const wrong = [
      [undefined, /messages must be a list/],
      [[], /1 to 10000/],
      [[{ role: 'robot', content: 'x' }], /messages\[0\]\.role must be one of system/],
      [[user(5)], /messages\[0\]\.content must be a text/],
      [[user([{ type: 'image_url' }])], /is not a text/],
      [[{ ...user('x'), extra: () => 1 }], /messages\[0\]\.extra is not JSON/],
      [[{ ...user('x'), extra: NaN }], /is not JSON/],
    ];
    for (const [messages, reason] of wrong)
      await assert.rejects(model.chatTokens(messages), (error) => {
        assert.ok(error instanceof ArgumentError, String(error));
        assert.match(error.message, reason);
        return true;
      });
    await assert.rejects(model.chatTokens([user('x')], { tools: 1 }), ArgumentError);
    await assert.rejects(model.chatTokens([user('x')], { chatTemplate: 1 }), ArgumentError);
    const loop = {};
    loop.self = loop;
    await assert.rejects(model.chatTokens([{ ...user('x'), loop }]), /nested more than 32 deep/);
  });

  test('stops while a template runs', async () => {
    const controller = new AbortController();
    const chatTemplate = '{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}';
    const { signal } = controller;
    const pending = model.chatTokens([user('x')], { chatTemplate, signal });
    controller.abort();
    await assert.rejects(pending, AbortError);
    const stopping = new AbortController();
    const chat = model.chat([user('x')], { chatTemplate, signal: stopping.signal });
    const first = chat.next();
    await model.tokenize('x');
    stopping.abort();
    assert.equal((await first).value.finishReason, 'abort');
    const other = await load(modelPath);
    const refused = assert.rejects(other.chatTokens([user('x')], { chatTemplate }), StateError);
    await other.tokenize('x');
    await other.dispose();
    await refused;
  });
});

test('a model without a chat template says so, and takes one', async () => {
  const model = await load(modelPath);
  assert.equal(model.info.hasChatTemplate, false);
  await assert.rejects(collect(model.chat([user('x')])), (error) => {
    assert.ok(error instanceof NoTemplateError && error instanceof TemplateError);
    assert.equal(error.code, 'NO_TEMPLATE');
    assert.match(error.message, /continue texts/);
    return true;
  });
  const chat = model.chat([user('Once')], { chatTemplate: TEMPLATE, maxTokens: 3, temperature: 0 });
  assert.ok((await collect(chat)).length > 0);
  await model.dispose();
});

/** As Python writes it. */
function json(value) {
  return JSON.stringify(value).replaceAll(',', ', ').replaceAll(':', ': ');
}
