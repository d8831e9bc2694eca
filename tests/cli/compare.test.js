// What `perplexity` and `compare` tell, against plain double-precision sums over the logits that
// `logits` writes.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { defaultModel, halfbyte, needs, readFloats, shared, temporaryFolder } from './support.js';

const exact = 'models/tales-5.8m/tales-5.8m-f32.gguf';
const tales = 'text/tales-val.txt';
const vocabulary = 4096;
const context = 24;
const chunks = 3;

function succeed(...args) {
  const { code, out, err } = halfbyte(args);
  assert.equal(code, 0, err);
  return out;
}

const compare = (reference, model, file, ...more) =>
  JSON.parse(succeed('compare', reference, model, '-f', file, '-c', `${context}`, '--json', ...more));

/** A file with the beginning of a text. */
function excerpt(t, text) {
  const file = path.join(temporaryFolder(t), 'text.txt');
  writeFileSync(file, text);
  return file;
}

const story = () => readFileSync(shared(tales), 'utf8').slice(0, 600);

const tokensOf = (text) => succeed('tokenize', '-m', defaultModel, '--ids', '--', text).trim().split(' ');

/** The rows of logits after each of the tokens. */
function logitsOf(t, model, tokens) {
  const file = path.join(temporaryFolder(t), 'logits');
  succeed('logits', '-m', model, '--tokens', tokens.join(), '-o', file);
  const all = readFloats(file);
  return tokens.map((_, i) => Array.from(all.subarray(i * vocabulary, (i + 1) * vocabulary)));
}

function logSoftmax(row) {
  const most = row.reduce((a, b) => Math.max(a, b));
  const sum = row.reduce((total, x) => total + Math.exp(x - most), 0);
  return row.map((x) => x - most - Math.log(sum));
}

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
function errorOf(values) {
  const center = mean(values);
  const sum = values.reduce((total, x) => total + (x - center) ** 2, 0);
  return Math.sqrt(sum / values.length / (values.length - 1));
}
const near = (actual, expected, bound, what) =>
  assert.ok(Math.abs(actual - expected) <= bound, `${what}: ${actual}, expected ${expected}`);

/** The log-probabilities that a model gives in the scored places, and the tokens that follow. */
function scored(t, model, windows, first) {
  return windows.flatMap((window) => {
    const rows = logitsOf(t, model, window);
    return rows.slice(first, -1).map((row, i) => ({
      logs: logSoftmax(row),
      next: Number(window[first + i + 1]),
    }));
  });
}

function cut(tokens, replaceFirst) {
  return Array.from({ length: chunks }, (_, i) => {
    const window = tokens.slice(i * context, (i + 1) * context);
    if (replaceFirst) window[0] = '1';
    return window;
  });
}

test('compare tells what plain sums over all logits give', needs(exact, tales), (t) => {
  const file = excerpt(t, story());
  const told = compare(shared(exact), defaultModel, file, '--chunks', `${chunks}`);
  const windows = cut(tokensOf(story()), true);
  const reference = scored(t, shared(exact), windows, context / 2);
  const model = scored(t, defaultModel, windows, context / 2);
  assert.equal(told.tokens, reference.length);
  assert.equal(told.chunks, chunks);

  const divergences = reference.map(({ logs }, row) =>
    logs.reduce((sum, log, i) => sum + Math.exp(log) * (log - model[row].logs[i]), 0),
  );
  const sorted = [...divergences].sort((a, b) => a - b);
  const quantile = (share) => {
    const place = share * (sorted.length - 1);
    const [below, above] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
    return below + (above - below) * (place % 1);
  };
  near(told.meanKl.value, mean(divergences), 1e-6, 'mean');
  near(told.meanKl.error, errorOf(divergences), 1e-6, 'error of the mean');
  for (const [name, share] of Object.entries({
    medianKl: 0.5, kl90: 0.9, kl95: 0.95, kl99: 0.99, kl999: 0.999, maxKl: 1,
  }))
    near(told[name], quantile(share), 2e-6, name);

  const top = ({ logs }) => logs.indexOf(logs.reduce((a, b) => Math.max(a, b)));
  const same = reference.map((row, i) => Number(top(row) === top(model[i])));
  near(told.sameTop.value, mean(same), 1e-9, 'same top');
  near(told.sameTop.error, errorOf(same), 1e-9, 'error of same top');

  const losses = (rows) => rows.map(({ logs, next }) => -logs[next]);
  const changes = losses(model).map((loss, i) => loss - losses(reference)[i]);
  near(told.logRatio.value, mean(changes), 1e-6, 'ln ratio');
  near(told.logRatio.error, errorOf(changes), 1e-6, 'error of ln ratio');
  near(told.model.perplexity.value / Math.exp(mean(losses(model))), 1, 1e-6, 'perplexity');
  near(told.reference.perplexity.value / Math.exp(mean(losses(reference))), 1, 1e-6, 'perplexity');

  const squares = model.map(
    ({ logs, next }, i) => (Math.exp(logs[next]) - Math.exp(reference[i].logs[next])) ** 2,
  );
  near(told.rmsChange.value, Math.sqrt(mean(squares)), 1e-6, 'RMS change');
});

test("perplexity by Hugging Face's convention scores all but the first token of each window",
  needs(tales), (t) => {
    const file = excerpt(t, story());
    const out = succeed(
      'perplexity', '-m', defaultModel, '-f', file, '-c', `${context}`, '--chunks', `${chunks}`,
      '--convention', 'hf',
    );
    const rows = scored(t, defaultModel, cut(tokensOf(story()), false), 0);
    const [, value, count] = out.match(/^PPL = ([\d.]+) .* (\d+) tokens scored/);
    assert.equal(Number(count), chunks * (context - 1));
    near(Number(value), Math.exp(mean(rows.map(({ logs, next }) => -logs[next]))), 1e-3, 'PPL');
  });

test('a text of one window is enough for the convention of Hugging Face alone', (t) => {
  const file = excerpt(t, 'Once upon a time there was a king who had three daughters.');
  const args = ['perplexity', '-m', defaultModel, '-f', file, '-c', '12'];
  assert.equal(halfbyte([...args, '--convention', 'hf']).code, 0);
  assert.match(halfbyte(args).err, /the text has \d+ tokens; --ctx 12 takes at least 24/);
  assert.match(halfbyte([...args, '--convention', 'openai']).err, /takes llama or hf, not 'openai'/);
});

const words = 'Once upon a time there was a king who had three daughters, and a cat. '.repeat(4);

test('a model does not diverge from itself', (t) => {
  const told = compare(defaultModel, defaultModel, excerpt(t, words));
  for (const name of ['medianKl', 'kl99', 'maxKl']) assert.equal(told[name], 0);
  for (const name of ['meanKl', 'logRatio', 'rmsChange'])
    assert.deepEqual(told[name], { value: 0, error: 0 });
  assert.deepEqual(told.sameTop, { value: 1, error: 0 });
  assert.equal(told.model.perplexity.value, told.reference.perplexity.value);
  assert.equal(told.model.fileBytes, readFileSync(defaultModel).length);
  assert.ok(told.model.decode > 0 && told.model.prefill > 0);
});

test('compare tells the same whatever the threads', needs(exact), (t) => {
  const file = excerpt(t, words);
  const figures = (threads) => {
    const { meanKl, kl99, sameTop, logRatio, rmsChange } = compare(
      shared(exact), defaultModel, file, '-t', threads,
    );
    return { meanKl, kl99, sameTop, logRatio, rmsChange };
  };
  assert.deepEqual(figures('3'), figures('1'));
  assert.deepEqual(figures('2'), figures('1'));
});

test('compare prints a table for people', (t) => {
  const out = succeed('compare', defaultModel, defaultModel, '-f', excerpt(t, words), '-c', '24');
  assert.match(out, /^model +[\d.]+ \+- [\d.]+ +3\.2 MiB +4\.516/m);
  assert.match(out, /^KL divergence, mean +0\.000000 \+- 0\.000000 nats$/m);
  assert.match(out, /^same likeliest token +100\.000/m);
});

test('models with other tokens are not compared',
  needs('models/stories260K/stories260K-f32.gguf'), (t) => {
    const other = shared('models/stories260K/stories260K-f32.gguf');
    const { code, err } = halfbyte(['compare', other, defaultModel, '-f', excerpt(t, words)]);
    assert.equal(code, 1);
    assert.match(err, /the models have 512 and 4096 tokens/);
  });

// ---- Warnings ----

test('text that a model was calibrated with is noticed', needs(exact, tales, 'text/tales-calibration.txt'), (t) => {
  const file = path.join(temporaryFolder(t), 'model.gguf');
  const known = shared('text/tales-calibration.txt');
  succeed(
    ...['quantize', shared(exact), file, '--type', 'q8_0', '--method', 'smoothquant', '--calibration', known],
    ...['--calibration-samples', '4', '--calibration-length', '128'],
  );
  const measure = (text, ...more) => {
    const { code, out, err } = halfbyte([...more, '-f', text, '-c', '64', '--chunks', '2']);
    assert.equal(code, 0, err);
    return { out, err };
  };
  const both = ['compare', shared(exact), file, '--json'];
  assert.match(measure(known, 'perplexity', '-m', file).err,
    /^halfbyte: warning: of 12 passages of the text that the model was calibrated with, 3 stand in this text/);
  const overlapped = measure(known, ...both);
  assert.match(overlapped.err, /calibrated with, 3 stand/);
  assert.deepEqual(JSON.parse(overlapped.out).calibrationOverlap, { known: 12, found: 3 });
  assert.equal(measure(shared(tales), 'perplexity', '-m', file).err, '');
  const other = measure(shared(tales), ...both);
  assert.equal(other.err, '');
  assert.deepEqual(JSON.parse(other.out).calibrationOverlap, { known: 12, found: 0 });
});

test('a model that quantizing spoiled is called so', needs(exact, tales), (t) => {
  const file = path.join(temporaryFolder(t), 'model.gguf');
  succeed('quantize', shared(exact), file, '--type', 'tq1_0');
  const measure = (model) =>
    halfbyte(['compare', shared(exact), model, '-f', excerpt(t, story()), '-c', `${context}`]).err;
  assert.match(measure(file), /warning: the perplexity is [\d.e+]+ times the reference's, with [12]\.\d* bits a weight/);
  assert.equal(measure(defaultModel), '');
});
