// cmake --install: what it installs, and that others can build on it by pkg-config and by CMake.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

const model = 'examples/models/tales-5.8m-q4_0.gguf';
const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
const strict = ['-Wall', '-Wextra', '-Wpedantic', '-Werror'];
let folder, prefix, env;

const run = (command, ...args) => execFileSync(command, args, { encoding: 'utf8', env });
const pkgConfig = (...args) => run('pkg-config', ...args, 'halfbyte').trim().split(/\s+/);

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'halfbyte-install-'));
  execFileSync('cmake', ['--install', 'build/native', '--prefix', join(folder, 'first')]);
  // An installation works where it is moved to.
  prefix = join(folder, 'moved');
  renameSync(join(folder, 'first'), prefix);
  env = { ...process.env, PKG_CONFIG_PATH: join(prefix, 'lib/pkgconfig') };
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('the installation holds the libraries, the header, the command and nothing else', () => {
  const files = readdirSync(prefix, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(prefix.length + 1))
    .sort();
  assert.deepEqual(files, [
    'bin/halfbyte',
    'include/halfbyte.h',
    'lib/cmake/halfbyte/halfbyte-config-version.cmake',
    'lib/cmake/halfbyte/halfbyte-config.cmake',
    'lib/cmake/halfbyte/halfbyte-targets-release.cmake',
    'lib/cmake/halfbyte/halfbyte-targets.cmake',
    'lib/libhalfbyte-compress.a',
    'lib/libhalfbyte-host.a',
    'lib/libhalfbyte-train.a',
    'lib/libhalfbyte.a',
    'lib/pkgconfig/halfbyte.pc',
  ]);
});

test('pkg-config and package.json give the version of the header', () => {
  assert.equal(pkgConfig('--modversion')[0], version);
  assert.match(run(join(prefix, 'bin/halfbyte'), '--version'), new RegExp(version));
});

const story = (program) => {
  const [first, ...rest] = run(program, model).split('\n');
  assert.equal(first, version);
  assert.notEqual(rest.join('').trim(), '');
  return rest.join('\n');
};

test('a C, a C++ and a CMake project build on it without warnings and tell the same story', () => {
  const flags = [...strict, 'tests/install/consumer.c'];
  const c = join(folder, 'c');
  run('gcc', '-std=c11', ...flags, '-o', c, ...pkgConfig('--cflags', '--libs'));
  const cxx = join(folder, 'cxx');
  run('g++', '-std=c++11', '-x', 'c++', ...flags, '-x', 'none', '-o', cxx, ...pkgConfig('--cflags', '--libs'));
  const build = join(folder, 'build');
  run('cmake', '-S', 'tests/install', '-B', build, '-G', 'Ninja', `-DCMAKE_PREFIX_PATH=${prefix}`);
  run('cmake', '--build', build);

  const told = story(c);
  assert.equal(story(cxx), told);
  assert.equal(story(join(build, 'consumer')), told);
});

test('the example program builds by pkg-config and tells a story', () => {
  const program = join(folder, 'story');
  run('gcc', '-std=c11', ...strict, 'examples/c/story.c', '-o', program, ...pkgConfig('--cflags', '--libs'));
  assert.match(run(program, model, 'Once upon a time'), /^Once upon a time.{10}/s);
});

test('the header alone compiles as C11 and as C++11', () => {
  const header = join(prefix, 'include/halfbyte.h');
  run('gcc', '-std=c11', ...strict, '-fsyntax-only', '-x', 'c', header);
  run('g++', '-std=c++11', ...strict, '-fsyntax-only', '-x', 'c++', header);
});
