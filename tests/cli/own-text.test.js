// Quantizing without a text at hand: the model writes one, where a method wants it.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { halfbyte, needs, shared, temporaryFolder } from './support.js';

const model = 'models/tales-5.8m/tales-5.8m-f32.gguf';
const heldOut = 'text/tales-val.txt';
const few = ['--calibration-samples', '2', '--calibration-length', '32'];
const wrote = /^calibrating with 2 pieces of 32 tokens that the model wrote$/m;

function succeed(...args) {
  const { code, out, err } = halfbyte(args);
  assert.equal(code, 0, err);
  return out;
}

const hash = (file) => createHash('sha256').update(readFileSync(file)).digest('hex');

test('a text that the model writes is better than none', needs(model, heldOut), (t) => {
  const file = path.join(temporaryFolder(t), 'quantized.gguf');
  const perplexity = (...more) => {
    const said = succeed('quantize', shared(model), file, '--type', 'q4_0', ...more);
    assert.equal(/rounded without text to calibrate with/.test(said), more.length === 0);
    const out = succeed('perplexity', '-m', file, '-f', shared(heldOut), '-c', '256', '--chunks', '40');
    return Number(/^PPL = ([\d.]+) /m.exec(out)[1]);
  };
  const rounded = perplexity();
  const weighted = perplexity(
    ...['--calibration', 'self', '--method', 'imatrix'],
    ...['--calibration-samples', '5', '--calibration-length', '256']);
  t.diagnostic(`rtn ${rounded}, imatrix ${weighted}`);
  assert.ok(weighted < rounded - 0.05); // 27.77 and 27.64
});

test('it is always the same, and written for a method that is given none', needs(model), (t) => {
  const folder = temporaryFolder(t);
  const quantize = (name, ...more) => {
    const file = path.join(folder, name);
    const said = succeed('quantize', shared(model), file, '--type', 'q4_0', '--method', 'imatrix', ...few, ...more);
    assert.match(said, wrote);
    return hash(file);
  };
  const named = quantize('named', '--calibration', 'self', '-t', '1');
  assert.equal(quantize('wanted', '-t', '2'), named);
  assert.notEqual(quantize('other', '--calibration-seed', '7'), named);
});

test('tables of levels are searched for by text unless a method is named', needs(model), (t) => {
  const file = path.join(temporaryFolder(t), 'tables.gguf');
  const out = succeed('quantize', shared(model), file, '--type', 'table4', ...few);
  assert.match(out, wrote);
  assert.match(out, /^squared inputs stood in for squared gradients/m);
});

test('an own text goes with no file, and with calibrate, too', needs(model), (t) => {
  const file = path.join(temporaryFolder(t), 'out');
  const { code, err } = halfbyte(
    ['quantize', shared(model), file, '--type', 'q4_0', '--calibration', 'self', '--calibration', 'x']);
  assert.equal(code, 1);
  assert.match(err, /self stands for a text of the model's own and goes with no file/);
  assert.match(succeed('calibrate', shared(model), '--calibration', 'self', ...few, '-o', file), wrote);
});
