// The core as a static library in an Emscripten program, whose logits equal the native ones.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const model = 'examples/models/tales-5.8m-q4_0.gguf';
const tokens = '1,300,412,263,271,999,17,2048'; // as in embed.c

test('an Emscripten program computes the bits of the native command line', () => {
  const folder = mkdtempSync(join(tmpdir(), 'halfbyte-emscripten-'));
  try {
    const logits = join(folder, 'logits.f32');
    execFileSync(process.execPath, ['build/emscripten/tests/emscripten/embed.js', model, logits]);
    const hash = createHash('sha256').update(readFileSync(logits)).digest('hex');
    const native = execFileSync('build/native/halfbyte', ['parity', '-m', model, '--tokens', tokens], { encoding: 'utf8' });
    assert.equal(hash, native.trim());
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
