// `npx halfbyte render`: conversations as a model's template writes them, to calibrate with.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { inspect, load } from '../../web/index.js';
import { modelWith } from './template-model.js';
import { cli, modelPath, native, nativeProgram, needs } from './support.js';

const TEMPLATE =
  '{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}' +
  '{% if tools %}({{ tools | length }} tools){% endif %}{% if add_generation_prompt %}[assistant]{% endif %}';

const turns = [
  { role: 'user', content: 'Where is\nthe "cat"?' },
  { role: 'assistant', content: 'On the mat.' },
];

describe('halfbyte render', () => {
  let folder, model;
  const write = async (name, content) => {
    const path = join(folder, name);
    await writeFile(path, content);
    return path;
  };
  const lines = (...values) =>
    write('talk.jsonl', values.map((v) => JSON.stringify(v)).join('\n\n'));
  const prompts = async (...args) => {
    const { code, stdout, stderr } = await cli('render', ...args);
    assert.equal(code, 0, stderr);
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).prompt);
  };
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'halfbyte-render-'));
    model = await write('model.gguf', modelWith({ 'tokenizer.chat_template': TEMPLATE }));
  });
  after(() => rm(folder, { recursive: true }));

  test('writes a prompt for each conversation, be it a list or an object', async () => {
    const file = await lines(turns, { messages: turns.slice(0, 1), tools: [{ name: 'f' }] });
    assert.deepEqual(await prompts('-m', model, file), [
      '<s>[user] Where is\nthe "cat"?</s>[assistant] On the mat.</s>',
      '<s>[user] Where is\nthe "cat"?</s>(1 tools)',
    ]);
    assert.deepEqual(
      await prompts('-m', model, '--generation-prompt', file).then((p) => p[1]),
      '<s>[user] Where is\nthe "cat"?</s>(1 tools)[assistant]',
    );
  });

  test('makes what the model reads in a chat', async () => {
    const loaded = await load(model);
    const tokens = await loaded.chatTokens(turns, { addGenerationPrompt: false });
    const [prompt] = await prompts('-m', model, await lines(turns));
    assert.deepEqual(await loaded.tokenize(prompt, { bos: false, special: true }), tokens);
    await loaded.dispose();
  });

  test('takes another template', async () => {
    const template = await write('short.jinja', '{{ messages[0].content }}!');
    const file = await lines([{ role: 'user', content: 'hi' }]);
    assert.deepEqual(await prompts('--chat-template', template, file), ['hi!']);
  });

  test('is what calibration reads', needs(nativeProgram), async () => {
    const { stdout } = await cli('render', '-m', model, await lines(...Array(300).fill(turns)));
    const file = await write('prompts.jsonl', stdout);
    const said = await native(
      ...['calibrate', modelPath, '--calibration', file, '-o', join(folder, 'measured.gguf')],
      ...['--calibration-samples', '2', '--calibration-length', '16'],
    );
    assert.match(said, /measured over 2 pieces of 16 tokens/);
  });

  test('says which line is wrong', async () => {
    for (const [content, code, reason] of [
      ['\n{"messages": 3}', 2, /talk\.jsonl, line 2: neither a list of messages nor/],
      ['[{"role": "user"}]\nno', 2, /talk\.jsonl, line 2: this is no JSON/],
      ['[{"role": "king"}]', 2, /talk\.jsonl, line 1: messages\[0\]\.role must be one of/],
    ]) {
      const ended = await cli('render', '-m', model, await write('talk.jsonl', content));
      assert.equal(ended.code, code);
      assert.match(ended.stderr, reason);
    }
    const bare = await cli('render', await lines(turns));
    assert.equal(bare.code, 1);
    assert.match(bare.stderr, /line 1: the model has no chat template/);
    assert.match((await cli('render')).stderr, /render needs FILE/);
  });

  test('knows the texts of tokens from the header', async () => {
    const { specialTokens } = await inspect(modelPath);
    assert.deepEqual(specialTokens, { bos: '<s>', eos: '</s>', unknown: '<unk>' });
  });
});
