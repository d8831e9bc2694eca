// `eval` on a few tasks, against plain sums over the logits that `logits` writes.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { defaultModel, halfbyte, readFloats, temporaryFolder } from './support.js';

const tasksFile = fileURLToPath(new URL('tasks.jsonl', import.meta.url));
const vocabulary = 4096;

/** The logarithms of the probabilities of the tokens that follow the prompt's, and their ranks. */
function continuation(folder, prompt, rest) {
  const tokensOf = (text) =>
    halfbyte(['tokenize', '-m', defaultModel, '--ids', '--', text]).out.trim().split(' ');
  const tokens = tokensOf(`${prompt} ${rest}`);
  const from = tokensOf(prompt).length;
  assert.deepEqual(tokens.slice(0, from), tokensOf(prompt), 'tokens do not cross the border');
  const file = path.join(folder, 'logits');
  halfbyte(['logits', '-m', defaultModel, '--tokens', tokens.join(), '-o', file]);
  const all = readFloats(file);
  let log = 0;
  let greedy = true;
  for (let i = from; i < tokens.length; i++) {
    const row = all.subarray((i - 1) * vocabulary, i * vocabulary);
    const most = row.reduce((a, b) => Math.max(a, b));
    const sum = row.reduce((total, x) => total + Math.exp(x - most), 0);
    log += row[tokens[i]] - most - Math.log(sum);
    greedy &&= row[tokens[i]] === most;
  }
  return { log, greedy };
}

function readTask(task) {
  if (task.endings) return { prompt: task.ctx, choices: task.endings, gold: Number(task.label) };
  if (task.answerKey)
    return {
      prompt: `Question: ${task.question}\nAnswer:`,
      choices: task.choices.text,
      gold: task.choices.label.indexOf(task.answerKey),
    };
  return { prompt: task.query ?? task.prompt, choices: task.choices, gold: task.answer ?? task.gold };
}

const best = (values) => values.indexOf(Math.max(...values));
const share = (count, all) => ({
  value: count / all,
  error: Math.sqrt(((count / all) * (1 - count / all)) / (all - 1)),
});
function near(actual, expected, bound) {
  for (const name of ['value', 'error'])
    assert.ok(Math.abs(actual[name] - expected[name]) < bound, `${actual[name]} ${expected[name]}`);
}

test('eval counts the right answers and last words', (t) => {
  const folder = temporaryFolder(t);
  const tasks = readFileSync(tasksFile, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
  const asked = tasks.filter((task) => !task.text).map(readTask);
  let right = 0;
  let byLength = 0;
  for (const { prompt, choices, gold } of asked) {
    const logs = choices.map((choice) => continuation(folder, prompt, choice).log);
    if (best(logs) === gold) right++;
    if (best(logs.map((log, i) => log / [...choices[i]].length)) === gold) byLength++;
  }
  const words = tasks.filter((task) => task.text).map(({ text }) => {
    const [, prompt, word] = text.trim().match(/^(.*\S)\s+(\S+)$/s);
    return continuation(folder, prompt, word);
  });
  const losses = words.map(({ log }) => -log);
  const mean = losses.reduce((a, b) => a + b) / losses.length;
  const spread = losses.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  const perplexity = Math.exp(mean);

  const { code, out, err } = halfbyte(['eval', defaultModel, tasksFile, '--json']);
  assert.equal(code, 0, err);
  const told = JSON.parse(out);
  assert.equal(told.choices, asked.length);
  assert.equal(told.lastWords, words.length);
  assert.ok(right > 0 && right < asked.length);
  near(told.accuracy, share(right, asked.length), 1e-9);
  near(told.accuracyByLength, share(byLength, asked.length), 1e-9);
  const toldWords = words.filter(({ greedy }) => greedy).length;
  assert.ok(toldWords > 0 && toldWords < words.length);
  near(told.lastWordAccuracy, share(toldWords, words.length), 1e-9);
  near(told.lastWordPerplexity, {
    value: perplexity,
    error: perplexity * Math.sqrt(spread / losses.length / (losses.length - 1)),
  }, 1e-3 * perplexity);
});

test('eval tells people', () => {
  const { code, out } = halfbyte(['eval', defaultModel, tasksFile]);
  assert.equal(code, 0);
  assert.match(out, /^5 tasks with choices\n {2}right +[\d.]+ \+- [\d.]+ %\n {2}right, by length +/);
  assert.match(out, /^3 last words\n {2}told +/m);
});

const good = '{"text": "two words"}';
for (const [name, line, message] of [
  ['no JSON', '{"query": ', /line 2: no sound JSON at byte/],
  ['a list', '[1, 2]', /line 2: it is no object/],
  ['nothing to answer', '{"query": "x"}', /line 2: it has neither choices nor endings nor a text/],
  ['no prompt', '{"choices": ["a", "b"], "answer": 0}', /neither a query nor a prompt/],
  ['one choice', '{"query": "x", "choices": ["a"], "answer": 0}', /fewer than 2 choices/],
  ['an empty choice', '{"query": "x", "choices": ["a", " "], "answer": 0}', /a choice is empty/],
  ['a number as a choice', '{"query": "x", "choices": ["a", 1], "answer": 0}', /a choice is no text/],
  ['too many choices', JSON.stringify({ query: 'x', choices: Array(65).fill('a'), answer: 0 }), /more than 64/],
  ['no answer', '{"query": "x", "choices": ["a", "b"]}', /the answer is no index of a choice/],
  ['an answer beyond the choices', '{"query": "x", "choices": ["a", "b"], "answer": 2}', /no index/],
  ['a negative answer', '{"query": "x", "choices": ["a", "b"], "answer": -1}', /no index/],
  ['an unknown label', '{"question": "x", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "C"}', /answerKey is no label/],
  ['one word', '{"text": " word "}', /fewer than 2 words/],
  ['a lone surrogate', '{"text": "\\ud800 a"}', /no sound JSON/],
  ['a prompt that is too long', JSON.stringify({ text: 'word '.repeat(600) }), /line 2: \d+ tokens do not fit the context of 512/],
])
  test(`a line with ${name} is refused by its number`, (t) => {
    const file = path.join(temporaryFolder(t), 'tasks.jsonl');
    writeFileSync(file, `${good}\n${line}\n`);
    const { code, out, err } = halfbyte(['eval', defaultModel, file]);
    assert.equal(code, 1);
    assert.equal(out, '');
    assert.match(err, /^halfbyte: .*tasks\.jsonl, line 2: /);
    assert.match(err, message);
  });

test('a file without tasks is refused', (t) => {
  const file = path.join(temporaryFolder(t), 'tasks.jsonl');
  writeFileSync(file, '\n \n');
  assert.match(halfbyte(['eval', defaultModel, file]).err, /has no tasks/);
});
