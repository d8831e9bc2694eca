// What methods cost in quality, on a real model and on the same with planted outliers. All numbers
// that are compared come from the same text and the same run; the text to calibrate with is another.
// Bounds leave room for changes of rounding; beside them stands what was measured.
import assert from 'node:assert/strict';
import path from 'node:path';
import test from 'node:test';
import { halfbyte, needs, shared, temporaryFolder } from './support.js';

const original = 'models/tales-5.8m/tales-5.8m-f32.gguf';
const ggml = 'models/tales-5.8m/ggml/Q3_K_M.gguf';
const heldOut = 'text/tales-val.txt';
const calibration = 'text/tales-calibration.txt';

function succeed(...args) {
  const { code, out, err } = halfbyte(args);
  assert.equal(code, 0, err);
  return out;
}

function perplexity(file, chunks) {
  const out = succeed('perplexity', '-m', file, '-f', shared(heldOut), '-c', '256', '--chunks', String(chunks));
  return Number(/^PPL = ([\d.]+) /m.exec(out)[1]);
}

let report; // of the last file that was quantized

/** The perplexity of `source` as `method` makes it. */
function quantized(t, source, chunks, type, method, ...more) {
  const file = path.join(temporaryFolder(t), 'quantized.gguf');
  report = succeed(
    ...['quantize', source, file, '--type', type, '--method', method, '--calibration', shared(calibration)],
    ...['--calibration-samples', '32', '--calibration-length', '256', ...more],
  );
  return perplexity(file, chunks);
}

const chunks = 200;
let ofOriginal;

/** How much more of ln(PPL) than the model itself has. */
function excess(value) {
  ofOriginal ??= perplexity(shared(original), chunks);
  return Math.log(value / ofOriginal);
}

test('Q4_0: gptq costs at most 0.6 times what rounding does, and awq less than rounding',
  needs(original, heldOut, calibration), (t) => {
    const of = (method, ...more) => excess(quantized(t, shared(original), chunks, 'q4_0', method, ...more));
    const rounded = of('rtn');
    const compensated = of('gptq');
    const scaled = of('awq', '--calibration-samples', '8');
    t.diagnostic(`rtn ${rounded}, gptq ${compensated}, awq ${scaled}`);
    assert.ok(compensated > 0 && scaled > 0);
    assert.ok(compensated <= 0.6 * rounded); // 0.53
    assert.ok(scaled < 0.9 * rounded); // 0.69
  });

test('Q3_K: gptq costs at most 0.6 times what ggml\'s own file does',
  needs(original, ggml, heldOut, calibration), (t) => {
    const reference = excess(perplexity(shared(ggml), chunks));
    const compensated = excess(quantized(t, shared(original), chunks, 'q3_k', 'gptq'));
    t.diagnostic(`ggml ${reference}, gptq ${compensated}`);
    assert.ok(compensated <= 0.6 * reference); // 0.57
  });

test('INT2_64: what inputs tell halves the cost of rounding to two bits',
  needs(original, heldOut, calibration), (t) => {
    const chunks = 20;
    const exact = perplexity(shared(original), chunks);
    const of = (method, ...more) =>
      Math.log(quantized(t, shared(original), chunks, 'int2_64', method, ...more) / exact);
    const rounded = of('rtn');
    const weighted = of('imatrix', '--calibration-samples', '4');
    assert.match(report, /2\.5\d\d bits\/weight/);
    assert.match(report, /^experimental: INT2_64 has fewer than 4 bits a value/m);
    t.diagnostic(`rtn ${rounded}, imatrix ${weighted}`);
    assert.ok(weighted > 0);
    assert.ok(weighted < 0.6 * rounded); // 0.46
  });

// int8 on both sides. A scale for the whole tensor, fixed from calibration, is what large inputs spoil.
test('planted outliers spoil plain int8, and smoothquant and llm.int8 stand them',
  needs(original, heldOut, calibration), (t) => {
    const planted = path.join(temporaryFolder(t), 'planted.gguf');
    succeed('synth', '--outliers', shared(original), '-o', planted);
    const chunks = 50;
    const exact = perplexity(shared(original), chunks);
    const of = (method, ...more) =>
      quantized(t, planted, chunks, 'q8_0', method, '--calibration-samples', '16', ...more) / exact;
    const same = perplexity(planted, chunks) / exact;
    const plain = of('channel', '--activations', 'tensor-max');
    const halved = of('smoothquant', '--activations', 'tensor', '--smooth-alpha', '0.5');
    const byTensor = of('smoothquant', '--activations', 'tensor', '--calibration-samples', '4');
    const byToken = of('smoothquant', '--smooth-alpha', '0.5');
    const columns = of('llm.int8');
    const bits = Number(/([\d.]+) bits\/weight/.exec(report)[1]);
    t.diagnostic(`as it is ${same}, plain ${plain}, smoothquant ${byTensor}, with 0.5 ${halved}, by token ${byToken}, ` +
      `llm.int8 ${columns} at ${bits} bits`);
    assert.ok(Math.abs(same - 1) < 1e-4);
    assert.ok(plain > 2); // 4.5
    assert.ok(byTensor < 1.01); // 1.0023
    assert.ok(halved < 1.02); // 1.0117, as without outliers: what no norm makes is not smoothed
    assert.ok(byTensor < halved);
    assert.ok(byToken < 1.01); // 1.0009
    assert.ok(columns < 1.01); // 1.0017
    assert.ok(bits < 9); // 8.86: 4 of 256 columns; int8 alone takes 8.51
  });
