// Each target of this folder takes all its seeds, then what libFuzzer makes of them for a few
// seconds (ten minutes in the full suite), under AddressSanitizer and UndefinedBehaviorSanitizer.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const seconds = process.env.HB_FULL ? 600 : 10;
const here = import.meta.dirname;
const limits = ['-rss_limit_mb=2048', '-timeout=10', '-max_len=65536'];

function fuzz(target, ...args) {
  const folder = mkdtempSync(join(tmpdir(), 'halfbyte-fuzz-'));
  try {
    const flags = [...limits, `-artifact_prefix=${folder}/`, ...args.map((arg) => arg.replace('NEW', folder))];
    const { status, stderr, error } = spawnSync(join('build/asan/tests', target), flags, { encoding: 'utf8' });
    assert.ifError(error);
    assert.equal(status, 0, stderr);
    return stderr;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

for (const source of readdirSync(here).filter((name) => /^fuzz_.*\.c$/.test(name)).sort()) {
  const target = source.slice(0, -2);
  const seeds = join(here, 'seeds', target.slice('fuzz_'.length));

  test(`${target} takes every seed`, () => {
    assert.ok(existsSync(seeds), `${seeds} is missing`);
    assert.ok(readdirSync(seeds).length > 0);
    fuzz(target, '-runs=0', seeds);
  });

  test(`${target} survives ${seconds} s of fuzzing`, () => {
    fuzz(target, `-max_total_time=${seconds}`, 'NEW', seeds);
  });
}
