// Formatting, types and generated files are what their tools make of them.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { test } from 'node:test';

const tracked = (...patterns) =>
  execFileSync('git', ['ls-files', '--', ...patterns], { encoding: 'utf8' }).split('\n').filter(Boolean);

function passes(command, ...args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  assert.ifError(error);
  assert.equal(status, 0, stdout + stderr);
}

test('C sources are formatted as .clang-format says', () => {
  passes('clang-format-19', '--dry-run', '-Werror', ...tracked('*.c', '*.h', '*.inc'));
});

test('shell scripts parse', () => {
  for (const script of tracked('*.sh')) passes('sh', '-n', script);
  passes('bash', '-n', '.ci/run');
});

test('the lock file names no host that packages come from', () => {
  assert.equal(spawnSync('grep', ['-c', '"resolved"', 'package-lock.json'], { encoding: 'utf8' }).stdout.trim(), '0');
});
