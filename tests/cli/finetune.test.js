// Adapters trained on the command line: what they do when the model runs, going on, refusals.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { defaultModel, halfbyte, temporaryFolder } from './support.js';

const story = (name) => `The ${name} had a little boat. It was red, and the sea was blue. `;
const small = ['--sequences', '2', '--length', '32', '--rate', '1e-2'];

function succeed(...args) {
  const result = halfbyte(args);
  assert.equal(result.code, 0, result.err);
  return result.out;
}

/** A folder with a text of marked documents, and the arguments of a run into it. */
function prepare(t) {
  const folder = temporaryFolder(t);
  const at = (name) => path.join(folder, name);
  const names = ['king', 'cat', 'girl', 'fish', 'old man', 'queen'];
  writeFileSync(at('text'), names.map((name) => story(name).repeat(2)).join('\n<|endoftext|>\n'));
  const train = (...more) => [
    'finetune',
    defaultModel,
    '--method',
    'lora',
    '--data',
    at('text'),
    ...small,
    ...more,
  ];
  return { at, train };
}

test('an adapter is trained, makes its text likelier, and leaves the model as it is', (t) => {
  const { at, train } = prepare(t);
  const before = readFileSync(defaultModel);
  const run = [
    '--steps',
    '8',
    '--rank',
    '4',
    '--state',
    at('state'),
    '--type',
    'bf16',
    '--validation',
    at('text'),
  ];
  const out = succeed(...train(...run, '--out', at('out')));
  assert.match(out, /^6 documents, /);
  const measured = [...out.matchAll(/validation ([\d.]+)/g)].map((match) => Number(match[1]));
  assert.ok(measured.at(-1) < measured[0] - 0.3, out);
  assert.deepEqual(readdirSync(at('out')).sort(), [
    'adapter.gguf',
    'checkpoint.gguf',
    'log.jsonl',
    'training.html',
  ]);
  assert.ok(!existsSync(at('state')));
  assert.ok(readFileSync(defaultModel).equals(before));

  writeFileSync(at('long'), story('dog').repeat(8));
  const measure = ['perplexity', '-m', defaultModel, '-f', at('long'), '--ctx', '64'];
  const value = (text) => Number(/PPL = ([\d.]+)/.exec(text)[1]);
  const adapted = succeed(...measure, '--lora', path.join(at('out'), 'adapter.gguf'));
  assert.ok(value(adapted) < 0.8 * value(succeed(...measure)));

  const more = [
    '--steps',
    '1',
    '--lora',
    path.join(at('out'), 'adapter.gguf'),
    '--out',
    at('more'),
  ];
  const begun = succeed(...train(...more, '--validation', at('text')));
  assert.ok(Math.abs(Number(/validation ([\d.]+)/.exec(begun)[1]) - measured.at(-1)) < 1e-4);
});

test('threads and going on do not change an adapter', (t) => {
  const { at, train } = prepare(t);
  const files = (folder) => readFileSync(path.join(at(folder), 'adapter.gguf'));
  const run = ['--steps', '4', '--matrices', 'attn_q,ffn_down'];
  succeed(...train(...run, '--out', at('whole'), '-t', '1'));
  succeed(...train(...run, '--out', at('parts'), '--save-every', '2'));
  const refused = halfbyte(train(...run, '--out', at('parts'), '--resume', '--alpha', '3'));
  assert.match(refused.err, /another run/);
  succeed(...train(...run, '--out', at('parts'), '--resume'));
  assert.ok(files('parts').equals(files('whole')));
});

test('what cannot be is refused by name', (t) => {
  const { at, train } = prepare(t);
  const refused = (message, ...more) => {
    const { code, err } = halfbyte(train('--steps', '1', '--out', at('out'), ...more));
    assert.notEqual(code, 0);
    assert.match(err, message);
    assert.ok(!existsSync(at('out')), 'nothing is left');
  };
  refused(/no layer has a matrix 'attn'/, '--matrices', 'attn');
  refused(/cannot have the type 'q4_0'/, '--type', 'q4_0');
  refused(/cannot make .*text: File exists/, '--state', at('text'));
  refused(/of the method lora/, '--method', 'qat', '--rank', '4');
  refused(/the adapter to begin with: .*no LoRA adapter/, '--lora', defaultModel);
  refused(/matrices of its own/, '--lora', defaultModel, '--rank', '4');
});
