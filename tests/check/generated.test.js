// Generated files are what their generators write today.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

test('the Unicode table is that of the Node that the lock file names', () => {
  const made = execFileSync(process.execPath, ['src/token/generate_unicode.js'], { encoding: 'utf8' });
  assert.ok(made === readFileSync('src/token/unicode_table.c', 'utf8'));
});

test('the constants and error classes of JavaScript are those of the header', () => {
  execFileSync(process.execPath, ['wasm/generate-tables.js', '--check']);
});

test('the seeds of the fuzz targets are those that make_seeds.js writes', () => {
  execFileSync(process.execPath, ['tests/fuzz/make_seeds.js']);
  assert.equal(execFileSync('git', ['status', '--porcelain', 'tests/fuzz/seeds'], { encoding: 'utf8' }), '');
});
