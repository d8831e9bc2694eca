// Reports of `compare`: their data, how runs gather in them, and what they refuse.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { defaultModel, halfbyte, needs, shared, temporaryFolder } from './support.js';

const exact = 'models/tales-5.8m/tales-5.8m-f32.gguf';
const words = 'Once upon a time there was a king who had three daughters, and a cat. '.repeat(6);

function setUp(t, text = words) {
  const folder = temporaryFolder(t);
  const file = path.join(folder, 'text.txt');
  const report = path.join(folder, 'report');
  writeFileSync(file, text);
  const run = (reference, model) =>
    halfbyte(['compare', reference, model, '-f', file, '-c', '24', '--report', report]);
  const read = () => JSON.parse(readFileSync(path.join(report, 'report.json'), 'utf8'));
  return { folder, report, run, read };
}

function succeed({ code, err }) {
  assert.equal(code, 0, err);
}

test('a report tells of each matrix and layer, and of texts', needs(exact), (t) => {
  const { folder, run, read } = setUp(t);
  const rounded = path.join(folder, 'q4_0.gguf');
  const made = halfbyte(['quantize', shared(exact), rounded, '--type', 'q4_0']);
  succeed(made);
  succeed(run(shared(exact), rounded));
  const { format, references, runs } = read();
  assert.equal(format, 'halfbyte report 1');
  assert.equal(runs.length, 1);
  const [{ tensors, layers, samples, model }] = runs;
  assert.equal(tensors.length, 43);
  assert.ok(tensors.every(({ type }) => type === 'Q4_0'));
  const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  assert.ok(bytes < model.fileBytes && bytes > 0.95 * model.fileBytes);

  // The quantizer measures the same error, of the worst matrix.
  const worst = Number(made.out.match(/relative squared error at most ([\d.]+)/)[1]);
  const largest = Math.max(...tensors.map(({ error }) => error));
  assert.ok(Math.abs(largest / worst - 1) < 0.01, `${largest}, ${worst}`);

  assert.equal(layers.length, 6);
  assert.ok(layers.every((error) => error > 1e-3 && error < 0.05), layers.join());
  assert.equal(samples.length, 3);
  assert.ok(samples.every(({ prompt, reference }) => prompt && reference));

  const [{ path: name, tensors: values }] = references;
  assert.equal(name, shared(exact));
  for (const { weights, input } of values) {
    for (const { bins, count, outliers, rms, largest: most } of input ? [weights, input] : [weights]) {
      assert.equal(bins.reduce((a, b) => a + b), count);
      assert.ok(most >= rms && rms > 0);
      const beyond = bins.reduce((sum, each, i) => sum + (i < 8 || i >= 56 ? each : 0), 0);
      assert.ok(Math.abs(beyond - outliers) <= 1);
    }
  }
  const withInput = values.filter(({ input }) => input).map((each) => each.name);
  assert.equal(withInput.length, 24, 'four inputs a layer');
  assert.ok(withInput.includes('blk.0.attn_q.weight') && !withInput.includes('blk.0.attn_k.weight'));
});

test('scales that a method moves between matrices and norms count as no error',
  needs(exact, 'text/tales-calibration.txt'), (t) => {
    const { folder, run, read } = setUp(t);
    const model = path.join(folder, 'smooth.gguf');
    succeed(halfbyte([
      'quantize', shared(exact), model, '--type', 'q8_0', '--method', 'smoothquant', '--calibration',
      shared('text/tales-calibration.txt'), '--calibration-samples', '2', '--calibration-length', '64',
    ]));
    succeed(run(shared(exact), model));
    const [{ tensors }] = read().runs;
    const inLayers = tensors.filter(({ name }) => name.startsWith('blk.'));
    assert.ok(inLayers.every(({ rescaled }) => rescaled));
    assert.equal(tensors[0].rescaled, false);
    // Rounding to 8 bits costs some 1e-4; scales that are not undone would cost 1e-1 and more.
    for (const { name, error } of inLayers) assert.ok(error > 1e-5 && error < 1e-3, `${name}: ${error}`);
  });

test('a model beside itself has no errors', (t) => {
  const { run, read } = setUp(t);
  succeed(run(defaultModel, defaultModel));
  const [{ tensors, layers, samples }] = read().runs;
  assert.ok(tensors.every(({ error }) => error === 0));
  assert.deepEqual(layers, [0, 0, 0, 0, 0, 0]);
  assert.ok(samples.every(({ reference, model }) => reference === model));
});

test('runs gather in a report, the latest of each model', (t) => {
  const { folder, run, read, report } = setUp(t);
  const other = path.join(folder, 'other.gguf');
  copyFileSync(defaultModel, other);
  succeed(run(defaultModel, defaultModel));
  const [first] = read().runs;
  succeed(run(defaultModel, other));
  succeed(run(defaultModel, other));
  const { runs, references } = read();
  assert.deepEqual(runs.map(({ model }) => model.path), [defaultModel, other]);
  assert.deepEqual(runs[0], first);
  assert.equal(references.length, 1);
  const page = readFileSync(path.join(report, 'index.html'), 'utf8');
  const [, inside] = page.match(/<script type="application\/json" id="data">(.*?)<\/script>/s);
  assert.deepEqual(JSON.parse(inside), read());
});

test('no text becomes a part of the page', (t) => {
  const hostile = '</script><img src=x onerror=alert(1)> &amp; <!-- ]]> "quoted" \\ \u2028 end. ';
  const { folder, run, read, report } = setUp(t, hostile.repeat(6));
  const named = path.join(folder, '<b>model<script>.gguf');
  copyFileSync(defaultModel, named);
  succeed(run(defaultModel, named));
  const page = readFileSync(path.join(report, 'index.html'), 'utf8');
  assert.ok(!page.includes('<img') && !page.includes('<b>model'));
  const [run0] = read().runs;
  assert.equal(run0.model.path, named);
  assert.ok(run0.samples[0].prompt.startsWith('</script>'));
  assert.ok(!/(src|href)=|https?:|@import|url\((?!#)/.test(page.replace(/http:\/\/www\.w3\.org\/2000\/svg/g, '')
    .replace(/<script type="application\/json".*?<\/script>/s, '')), 'the page fetches nothing');
});

for (const [name, content] of [
  ['no JSON', '{"format": '],
  ['other JSON', '{"runs": []}'],
  ['a list', '[]'],
])
  test(`a folder whose report.json is ${name} is left alone`, (t) => {
    const { run, report } = setUp(t);
    mkdirSync(report);
    const file = path.join(report, 'report.json');
    writeFileSync(file, content);
    const { code, err } = run(defaultModel, defaultModel);
    assert.equal(code, 1);
    assert.match(err, /report\.json/);
    assert.equal(readFileSync(file, 'utf8'), content);
    assert.ok(!existsSync(path.join(report, 'index.html')));
  });

test('a report that cannot be written fails', (t) => {
  const { folder, report, run } = setUp(t);
  writeFileSync(report, 'a file');
  assert.match(run(defaultModel, defaultModel).err, /cannot make the folder .*report: /);
  assert.equal(readFileSync(path.join(folder, 'report'), 'utf8'), 'a file');
});

// ---- quantize --report ----

const calibration = 'text/tales-calibration.txt';

test('quantize reports what it measures on a text as compare does', needs(exact), (t) => {
  const { folder, run, report, read } = setUp(t);
  const model = path.join(folder, 'q8_0.gguf');
  const made = halfbyte([
    ...['quantize', shared(exact), model, '--type', 'q8_0', '--report', report],
    ...['-f', path.join(folder, 'text.txt'), '-c', '24'],
  ]);
  succeed(made);
  assert.match(made.out, /^KL divergence, mean /m);
  const [{ method, ...own }] = read().runs;
  assert.equal(method, 'rtn');
  succeed(run(shared(exact), model));
  const [theirs] = read().runs;
  const still = ({ tensors, layers, samples, meanKl, logRatio, tokens }) =>
    ({ tensors, layers, samples, meanKl, logRatio, tokens });
  assert.deepEqual(still(own), still(theirs));
});

test('without a text to measure on, quantize reports tensors and layers', needs(exact, calibration), (t) => {
  const { folder, report, read } = setUp(t);
  const quantize = (name, ...more) =>
    succeed(halfbyte(['quantize', shared(exact), path.join(folder, name), '--type', 'q8_0', '--report', report, ...more]));
  quantize('plain');
  quantize('smooth', '--method', 'smoothquant', '--calibration', shared(calibration),
    '--calibration-samples', '2', '--calibration-length', '64');
  const { runs: [plain, smooth], references: [{ tensors }] } = read();
  assert.deepEqual([plain.method, smooth.method], ['rtn', 'smoothquant']);
  for (const run of [plain, smooth]) {
    assert.equal(run.tensors.length, 43);
    assert.deepEqual([run.meanKl.value, run.model.perplexity.value, run.model.decode, run.tokens], [null, null, null, 0]);
  }
  assert.deepEqual([plain.layers, plain.samples], [[], []]);
  assert.ok(smooth.layers.length === 6 && smooth.layers.every((error) => error > 0 && error < 0.01));
  assert.equal(smooth.samples.length, 2);
  assert.equal(tensors.filter(({ input }) => input).length, 24);
});

test('what would keep quantize from reporting is told before it begins', needs(exact), (t) => {
  const { folder, report } = setUp(t);
  const model = path.join(folder, 'model.gguf');
  const fail = (sentence, ...more) => {
    const { code, err } = halfbyte(['quantize', shared(exact), model, '--type', 'q8_0', ...more]);
    assert.equal(code, 1);
    assert.match(err, sentence);
    assert.ok(!existsSync(model));
  };
  fail(/cannot open .*nosuch/, '-f', path.join(folder, 'nosuch'));
  mkdirSync(report);
  writeFileSync(path.join(report, 'report.json'), '[]');
  fail(/report\.json is no report/, '--report', report);
  writeFileSync(path.join(folder, 'file'), '');
  fail(/cannot make the folder/, '--report', path.join(folder, 'file'));
});
