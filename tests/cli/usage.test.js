// What the command line says and returns for right and wrong usage.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { defaultModel, halfbyte, shell } from './support.js';

const commands = [
  'run', 'chat', 'inspect', 'tokenize', 'logits', 'parity', 'perplexity', 'compare', 'eval', 'advise', 'calibrate',
  'quantize',
  'convert', 'merge', 'synth', 'train', 'finetune', 'bench', 'selftest',
];

test('--help names every command', () => {
  const { code, out, err } = halfbyte(['--help']);
  assert.equal(code, 0);
  assert.equal(err, '');
  for (const name of commands) assert.match(out, new RegExp(`^  ${name} +[A-Z]`, 'm'));
});

test('--version is the version of the header', () => {
  const header = readFileSync(new URL('../../src/halfbyte.h', import.meta.url), 'utf8');
  const [, version] = header.match(/#define HB_VERSION "(.*)"/);
  assert.deepEqual(halfbyte(['--version']), {
    code: 0, signal: null, out: `halfbyte ${version}\n`, err: '',
  });
});

for (const name of commands) {
  test(`${name} --help shows its usage and options`, () => {
    for (const flag of ['--help', '-h']) {
      const { code, out, err } = halfbyte([name, flag]);
      assert.equal(code, 0);
      assert.equal(err, '');
      assert.match(out, new RegExp(`^usage: halfbyte ${name} `));
      assert.match(out, /^ {2}-h, --help/m);
    }
  });

  test(`${name} refuses an option that it does not have`, () => {
    const { code, out, err } = halfbyte([name, '--no-such-option']);
    assert.equal(code, 2);
    assert.equal(out, '');
    assert.match(err, new RegExp(`${name} has no option --no-such-option`));
    assert.match(err, new RegExp(`halfbyte ${name} --help`));
  });
}

const wrong = [
  [[], /a command is missing/],
  [['dance'], /there is no command dance/],
  [['run'], /run needs -m FILE/],
  [['run', '-m'], /-m needs a value: FILE/],
  [['run', '-m', 'x', 'extra'], /run has no use for 'extra'/],
  [['run', '-m', 'x', '-n', 'many'], /--max-tokens takes a whole number, 0 or more, not 'many'/],
  [['run', '-m', 'x', '-n', '-1'], /--max-tokens takes a whole number/],
  [['run', '-m', 'x', '-n', '12x'], /--max-tokens takes a whole number/],
  [['run', '-m', 'x', '-n', '4294967296'], /--max-tokens takes a whole number/],
  [['run', '-m', 'x', '-t', '0'], /--threads takes a whole number from 1 to 64, not '0'/],
  [['run', '-m', 'x', '-t', '65'], /--threads/],
  [['run', '-m', 'x', '--temp', 'nan'], /--temp takes a number from 0 to 100, not 'nan'/],
  [['run', '-m', 'x', '--temp=-1'], /--temp takes a number/],
  [['run', '-m', 'x', '--temp', ''], /--temp takes a number/],
  [['run', '-m', 'x', '--top-p', '1.5'], /--top-p takes a number from 0 to 1, not '1.5'/],
  [['run', '-m', 'x', '--seed', '18446744073709551616'], /--seed takes a whole number/],
  [['run', '-m', 'x', '--isa', 'mmx'], /--isa takes the name of an instruction set, not 'mmx'/],
  [['run', '-m', 'x', '--kv', 'q8'], /--kv takes f16 or f32, not 'q8'/],
  [['run', '-m', 'x', '--stop', ''], /--stop takes a text that is not empty/],
  [['run', '-m', 'x', '--stats=1'], /--stats takes no value/],
  [['run', '-m', 'x', '--tokens', '1'], /run has no option --tokens/],
  [['run', '-m', 'x', ...Array(17).fill('--stop=x')], /more than 16 times --stop/],
  [['inspect'], /inspect needs FILE/],
  [['tokenize', '-m', 'x'], /tokenize needs TEXT/],
  [['logits', '-m', 'x', '--tokens', '1'], /logits needs -o OUT/],
  [['parity', '-m', 'x'], /either --tokens or -p/],
  [['parity', '-m', 'x', '-p', 'a', '--tokens', '1'], /either --tokens or -p/],
  [['parity', '-m', 'x', '-p', 'a', '--split', 'half'], /--split takes whole, pieces or single/],
  [['perplexity', '-m', 'x'], /perplexity needs -f TEXT/],
  [['compare', 'x', 'y'], /compare needs -f TEXT/],
  [['compare', 'x', '-f', 'y'], /compare needs REF MODEL/],
  [['quantize', 'in'], /quantize needs IN OUT/],
  [['quantize', 'in', 'out'], /quantize needs --type TYPE/],
  [['quantize', 'in', 'out', '--type', 'q4_k', '--bits-per-weight', '4'], /and not both/],
  [['quantize', 'in', 'out', '--method', 'nf4', '--bits-per-weight', '4'], /and not both/],
  [['quantize', 'in', 'out', '--type', 'q4_0', '--method', 'best'], /unknown method best/],
  [['quantize', 'in', 'out', '--type', 'q4_0', '--group-size', '8'], /--group-size takes a whole number from 32/],
  [['quantize', 'in', 'out', '--bits-per-weight', '0'], /--bits-per-weight takes a number from 0.5 to 32/],
  [['quantize', 'in', 'out', '--type', 'q4_0', '--imatrix', 'x', '--calibration', 'y'], /one of --calibration, --imatrix/],
  [['quantize', 'in', 'out', '--type', 'table4', '--gradients', 'x', '--calibration', 'y'], /and --gradients/],
  [['calibrate', 'in', '-o', 'out'], /calibrate needs --calibration TEXT/],
  [['calibrate', 'in', '--calibration', 'text'], /calibrate needs -o OUT/],
  [['convert', 'in'], /convert needs DIR OUT/],
  [['synth', '-o', 'out'], /synth needs either --shape SHAPE or --outliers MODEL/],
  [['synth', '--shape', 'smollm2-135m', '--outliers', 'x', '-o', 'out'], /either --shape SHAPE or --outliers MODEL/],
  [['synth', '--outliers', 'x', '--type', 'q8_0', '-o', 'out'], /--type is for --shape/],
  [['synth', '--shape', 'smollm2-135m'], /synth needs -o OUT/],
  [['synth', '--shape', 'gpt-5', '-o', 'out'], /shape gpt-5: the embedding length is not followed/],
  [['synth', '--shape', 'smollm2-135m', '--type', 'q9', '-o', 'out'], /type q9 is neither/],
  [['quantize', 'in', 'out', '--type', 'q9'], /type q9 is neither a tensor type nor a mixture/],
];

for (const [args, message] of wrong) {
  test(`usage: halfbyte ${args.slice(0, 6).join(' ')}`, () => {
    const { code, out, err } = halfbyte(args);
    assert.equal(code, 2);
    assert.equal(out, '');
    assert.match(err, message);
  });
}

test('options stand before, behind and in one word with their value', () => {
  const ids = halfbyte(['tokenize', '--ids', '-m', defaultModel, 'Once upon']).out;
  assert.match(ids, /^\d+( \d+)+\n$/);
  assert.equal(halfbyte(['tokenize', 'Once upon', `--model=${defaultModel}`, '--ids']).out, ids);
  assert.equal(halfbyte(['tokenize', '--ids', '-m', defaultModel, '--', 'Once upon']).out, ids);
});

test('after -- a text may look like an option', () => {
  const { code, out } = halfbyte(['tokenize', '-m', defaultModel, '--ids', '--', '--help']);
  assert.equal(code, 0);
  assert.match(out, /^\d+( \d+)+\n$/);
});

test('an instruction set that this machine lacks fails', () => {
  const { code, err } = halfbyte(['run', '-m', defaultModel, '--isa', 'simd128']);
  assert.equal(code, 1);
  assert.match(err, /this machine or build has no simd128/);
  assert.equal(halfbyte(['selftest', '--isa', 'simd128']).code, 1);
});

test('a reader that goes away and a full or closed output end the program with 1', () => {
  const run = `"$HALFBYTE" run -m "${defaultModel}" -n 100 --ignore-eos --seed 1`;
  const piped = shell(`{ ${run}; echo "code $?" >&2; } | head -c 1`);
  assert.match(piped.err, /cannot write standard output/);
  assert.match(piped.err, /^code 1$/m);
  assert.equal(shell(`${run} >&-`).code, 1);
  assert.equal(shell(`${run} > /dev/full`).code, 1);
  assert.equal(shell('"$HALFBYTE" --help > /dev/full').code, 1);
  assert.equal(shell('"$HALFBYTE" --help >&-').code, 1);
});
