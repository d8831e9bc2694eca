// The adapter in the hands of the real package `ai`, from the packed tarball.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { after, before, describe, test } from 'node:test';
import { generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';
import { installPackage, root } from './support.js';

let installed, languageModel, model;
const greedy = { temperature: 0, maxOutputTokens: 16 };
const template = { halfbyte: { chatTemplate: "{{ messages | map(attribute='content') | join('\n') }}" } };
const messages = [
  { role: 'user', content: 'Once upon a time' },
  { role: 'assistant', content: 'there was a king.' },
  { role: 'user', content: [{ type: 'text', text: 'The king ' }, { type: 'text', text: 'had' }] },
];

before(async () => {
  installed = installPackage();
  const web = pathToFileURL(join(installed.folder, 'node_modules/halfbyte/web/')).href;
  const { defaultModel, load } = await import(`${web}index.js`);
  ({ languageModel } = await import(`${web}ai-sdk.js`));
  model = await load(defaultModel);
});
after(async () => {
  await model?.dispose();
  installed?.remove();
});

/** What the model itself says. */
async function said(parts) {
  let text = '';
  for await (const part of parts) text += part.text;
  return text;
}

describe('a loaded model', () => {
  test('answers generateText as model.chat does, with its usage and its reason to end', async () => {
    const expected = await said(
      model.chat(
        messages.slice(0, 2).concat({ role: 'user', content: 'The king had' }),
        { ...template.halfbyte, temperature: 0, maxTokens: 16 },
      ),
    );
    const result = await generateText({ model: languageModel(model), messages, providerOptions: template, ...greedy });
    assert.equal(result.text, expected);
    assert.equal(result.finishReason, 'length');
    assert.equal(result.usage.outputTokens, 16);
    assert.ok(result.usage.inputTokens > 4);
    assert.equal(result.response.modelId, model.info.name);
    assert.deepEqual(result.warnings ?? [], []);
  });

  test('streams the same text in pieces', async () => {
    const given = { model: languageModel(model), messages, providerOptions: template, ...greedy };
    const { text } = await generateText(given);
    const result = streamText(given);
    const pieces = [];
    for await (const piece of result.textStream) pieces.push(piece);
    assert.equal(pieces.join(''), text);
    assert.ok(pieces.length > 4);
    assert.equal(await result.finishReason, 'length');
    assert.equal((await result.usage).outputTokens, 16);
  });

  test('continues a text where it is told to, for models without a template', async () => {
    const expected = await said(model.stream('Once upon a time', { temperature: 0, maxTokens: 16 }));
    const plain = languageModel(model, { plain: true, name: 'teller' });
    const { text, response } = await generateText({ model: plain, prompt: 'Once upon a time', ...greedy });
    assert.equal(text, expected);
    assert.equal(response.modelId, 'teller');
  });

  test('says that it has no template, as a result and in a stream', async () => {
    const given = { model: languageModel(model), prompt: 'Hello', ...greedy };
    await assert.rejects(generateText(given), /has no chat template/);
    const errors = [];
    const result = streamText({ ...given, onError: ({ error }) => errors.push(error) });
    await result.consumeStream();
    assert.match(String(errors[0]), /has no chat template/);
  });

  test('stops when it is aborted, at once or midway', async () => {
    const given = { model: languageModel(model, { plain: true }), prompt: 'Once', temperature: 0 };
    await assert.rejects(generateText({ ...given, abortSignal: AbortSignal.abort() }), { name: 'AbortError' });
    const controller = new AbortController();
    let aborted = false;
    const result = streamText({
      ...given,
      providerOptions: { halfbyte: { ignoreEos: true } },
      abortSignal: controller.signal,
      onAbort: () => (aborted = true),
    });
    const kinds = [];
    for await (const part of result.fullStream) {
      kinds.push(part.type);
      if (part.type === 'text-delta') controller.abort();
    }
    assert.ok(aborted);
    assert.equal(kinds.at(-1), 'abort');
    assert.ok(await said(model.stream('Once', { maxTokens: 4 })), 'the model is free again');
  });

  test('refuses what is no text, and says what has no effect', async () => {
    const image = { type: 'file', mediaType: 'image/png', data: new Uint8Array(4) };
    await assert.rejects(
      generateText({ model: languageModel(model), messages: [{ role: 'user', content: [image] }] }),
      /message 0 holds a part of type file \(image\/png\)/,
    );
    const plain = languageModel(model, { plain: true });
    const { warnings } = await plain.doGenerate({
      prompt: [{ role: 'user', content: [{ type: 'text', text: 'Once' }] }],
      maxOutputTokens: 1,
      responseFormat: { type: 'json' },
      toolChoice: { type: 'required' },
    });
    assert.deepEqual(warnings.map(({ feature }) => feature), ['responseFormat', 'toolChoice']);
  });
});

/** A model that says what it is told to, and keeps what it was asked. */
function standIn(...answers) {
  const asked = [];
  return {
    asked,
    info: { name: 'stand-in' },
    async *chat(given, options) {
      asked.push({ messages: given, options });
      for (const text of answers.shift()) yield { text };
      const usage = { promptTokens: 5, cachedTokens: 2, completionTokens: 3 };
      yield { text: '', finishReason: 'stop', usage };
    },
  };
}

const weather = tool({
  description: 'The weather of a city',
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => ({ city, degrees: 7 }),
});
const call = ['Let me see. ', '<tool_', 'call>{"name": "weather", "argu', 'ments": {"city": "Bonn"}}</tool_call>'];

test('a tool that the model calls is run, and the model is told its result', async () => {
  for (const ask of [generateText, streamText]) {
    const teller = standIn(call, ['7 degrees.']);
    const result = ask({
      model: languageModel(teller),
      prompt: 'How warm is it in Bonn?',
      tools: { weather },
      stopWhen: stepCountIs(2),
    });
    assert.equal(await (await result).text, '7 degrees.');
    const steps = await (await result).steps;
    assert.equal(steps[0].text.trim(), 'Let me see.');
    assert.equal(steps[0].finishReason, 'tool-calls');
    assert.deepEqual(steps[0].toolCalls.map(({ toolName, input }) => [toolName, input]), [['weather', { city: 'Bonn' }]]);

    const [first, second] = teller.asked;
    assert.equal(first.options.tools[0].function.name, 'weather');
    assert.equal(first.options.tools[0].function.parameters.properties.city.type, 'string');
    const [, answered, told] = second.messages;
    assert.equal(answered.tool_calls[0].function.name, 'weather');
    assert.deepEqual(answered.tool_calls[0].function.arguments, { city: 'Bonn' });
    assert.equal(told.role, 'tool');
    assert.equal(told.tool_call_id, answered.tool_calls[0].id);
    assert.deepEqual(JSON.parse(told.content), { city: 'Bonn', degrees: 7 });
  }
});

test('tokens that were read from the cache are counted apart', async () => {
  const { usage } = await generateText({ model: languageModel(standIn(['Yes.'])), prompt: 'Well?' });
  assert.equal(usage.inputTokens, 5);
  assert.equal(usage.inputTokenDetails.cacheReadTokens, 2);
  assert.equal(usage.outputTokens, 3);
});

test('its type is what the SDK takes as a model', async () => {
  installed.link('ai');
  installed.link('@ai-sdk');
  writeFileSync(join(installed.folder, 'model.ts'), `
    import type { LanguageModelV4 } from '@ai-sdk/provider';
    import { generateText } from 'ai';
    import { defaultModel, load } from 'halfbyte';
    import { languageModel } from 'halfbyte/ai-sdk';
    const model = languageModel(await load(defaultModel));
    model satisfies LanguageModelV4;
    await generateText({ model, prompt: 'Once' });
  `);
  const flags = ['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2022', '--types', 'node'];
  const how = ['--module', 'nodenext', '--typeRoots', join(root, 'node_modules/@types')];
  await installed.run(join(root, 'node_modules/.bin/tsc'), [...flags, ...how, 'model.ts']);
});
