// What the core promises about itself: it needs no more of the system than a heap and memcpy.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

/** Symbols of an archive by the type letters that nm gives them. */
function symbols(archive, letters) {
  return new Set(
    execFileSync('nm', [archive], { encoding: 'utf8' })
      .split('\n')
      .map((line) => /^(?:[0-9a-f]+| +) ([A-Za-z]) (\S+)$/.exec(line))
      .filter((match) => match && letters.includes(match[1]))
      .map((match) => match[2]),
  );
}

test('the core calls nothing of the C library but the heap and the memory functions', () => {
  const defined = symbols('build/native/libhalfbyte.a', 'TDBRVW');
  const undefined_ = symbols('build/native/libhalfbyte.a', 'U');
  const allowed = ['malloc', 'free', 'memchr', 'memcmp', 'memcpy', 'memmove', 'memset', 'strlen', 'strcmp', 'bcmp'];
  const foreign = [...undefined_].filter((name) => !defined.has(name) && !allowed.includes(name));
  assert.deepEqual(foreign, []);
});

test('every external name of the libraries begins with hb_', () => {
  for (const library of ['libhalfbyte.a', 'libhalfbyte-compress.a', 'libhalfbyte-train.a', 'native/libhalfbyte-host.a']) {
    const names = symbols(`build/native/${library}`, 'TDBRVW');
    assert.deepEqual([...names].filter((name) => !name.startsWith('hb_')), []);
  }
});

test('the core has no writable data', () => {
  // .data.rel.ro holds constants with addresses, which the loader fills in before the program starts.
  const rows = execFileSync('nm', ['--format=sysv', 'build/native/libhalfbyte.a'], { encoding: 'utf8' })
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .filter((cells) => /^\.(data|bss|tdata|tbss)/.test(cells[6]) && !cells[6].startsWith('.data.rel.ro'));
  assert.deepEqual(rows, []);
});
