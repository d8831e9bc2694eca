import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PROMPT, cli, modelPath, native, nativeProgram, needs } from './support.js';

describe('halfbyte in Node', () => {
  test('has help for itself and every command', async () => {
    const { code, stdout } = await cli('--help');
    assert.equal(code, 0);
    for (const command of ['run', 'inspect', 'tokenize', 'parity', 'bench', 'serve']) {
      assert.match(stdout, new RegExp(`^ +${command} `, 'm'));
      const help = await cli(command, '--help');
      assert.equal(help.code, 0);
      assert.match(help.stdout, new RegExp(`^usage: halfbyte ${command}`));
    }
  });

  test('ends with 2 on a wrong command line and says what is wrong', async () => {
    for (const [args, said] of [
      [[], /usage/],
      [['sing'], /no command 'sing'/],
      [['run', '--speed', '3'], /--speed/],
      [['run', '-n', 'many'], /--max-tokens takes a whole number, not 'many'/],
      [['run', '--isa', 'avx2'], /--isa takes/],
      [['tokenize'], /needs TEXT/],
      [['parity'], /--tokens or -p/],
      [['inspect', 'a', 'b'], /no use for/],
      [['bench', '-t', '0'], /threads must be/],
      [['bench', '--shape', 'nosuchshape'], /nosuchshape/],
    ]) {
      const { code, stdout, stderr } = await cli(...args);
      assert.equal(code, 2, args.join(' '));
      assert.match(stderr, said);
      assert.equal(stdout, '');
    }
  });

  test('ends with 1 on a failure', async () => {
    const { code, stderr } = await cli('run', '-m', 'no-such-file.gguf');
    assert.equal(code, 1);
    assert.match(stderr, /^halfbyte: .*no-such-file\.gguf/);
  });

  test('runs the model that comes with it', async () => {
    const options = ['-p', PROMPT, '-n', '20', '--seed', '3', '--stats'];
    const { code, stdout, stderr } = await cli('run', ...options);
    assert.equal(code, 0, stderr);
    assert.ok(stdout.length > 20);
    assert.match(stderr, /generated 20 tokens, [\d.]+ tokens\/s/);
    assert.match(stderr, /seed 3/);
    assert.equal((await cli('run', '-m', modelPath, '-t', '1', ...options)).stdout, stdout);
  });

  test('prints what the native program prints', needs(nativeProgram), async () => {
    for (const args of [
      ['tokenize', '-m', modelPath, '--ids', 'The cat, "sat" – on 3 mats.'],
      ['tokenize', '-m', modelPath, '--ids', '--no-bos', 'x'],
      ['tokenize', '-m', modelPath, 'ünï 😀'],
      ['parity', '-m', modelPath, '-p', PROMPT],
      ['parity', '-m', modelPath, '--tokens', '1,5,9,200', '--split', 'pieces', '--kv', 'f32'],
    ])
      assert.equal((await cli(...args)).stdout.trim(), await native(...args), args.join(' '));
  });

  test('inspects', async () => {
    const { code, stdout, stderr } = await cli('inspect', '--keys', '--tensors', modelPath);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /architecture +llama/);
    assert.match(stdout, /Q4_0/);
    assert.match(stdout, /general\.architecture/);
  });
});
