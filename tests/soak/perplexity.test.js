// Perplexity over the whole evaluation text, against llama.cpp v0.5.0 on the same files (the README
// of the shared models). F32 agrees to the last digit that it prints; block formats differ in how
// activations are rounded, by less than 0.0001 of the logarithm.
import assert from 'node:assert/strict';
import test from 'node:test';
import { halfbyte, needs, shared } from '../cli/support.js';

const text = 'text/tales-val.txt';
const reference = {
  'models/tales-5.8m/tales-5.8m-f32.gguf': [26.0594, 0.158, 5e-6],
  'models/tales-5.8m/ggml/Q4_0.gguf': [26.5996, 0.161, 1e-4],
};

for (const [model, [expected, deviation, bound]] of Object.entries(reference)) {
  test(`perplexity of ${model} is llama.cpp's`, needs(model, text), () => {
    const { code, out, err } = halfbyte([
      'perplexity', '-m', shared(model), '-f', shared(text), '--ctx', '256',
    ]);
    assert.equal(code, 0, err);
    const [, value, error] = out.match(/^PPL = ([\d.]+) \+- ([\d.]+) \(1500 chunks of 256, /);
    assert.ok(Math.abs(Math.log(value / expected)) < bound, `${value} against ${expected}`);
    assert.ok(Math.abs(error - deviation) < 0.001, `+- ${error}`);
  });
}
