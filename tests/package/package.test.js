// The npm package: exactly these files, small, in order by its linters, and importing it does nothing.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { bytesIn, installPackage, root } from './support.js';

const MOST_BYTES = 6.5 * 2 ** 20; // installed, dependencies and the modules that quantize and train included
const MOST_MODEL_BYTES = 3.5e6;

let installed, manifest;

before(() => {
  installed = installPackage();
  manifest = JSON.parse(readFileSync(join(installed.folder, 'node_modules/halfbyte/package.json'), 'utf8'));
});
after(() => installed?.remove());

test('it holds the sources of web with their types, the modules and the default model, and nothing else', () => {
  const tracked = execFileSync('git', ['ls-files', 'web/*.js', 'examples/models'], { cwd: root, encoding: 'utf8' });
  const sources = tracked.split('\n').filter(Boolean);
  const types = sources.filter((name) => name.startsWith('web/')).map((name) => `build/types/${name.slice(4, -2)}d.ts`);
  const names = ['relaxed', 'relaxed-threads', 'simd', 'simd-threads', 'synthetic', 'hash', 'quantize', 'train'];
  const modules = names.map((name) => `build/wasm/halfbyte-${name}.wasm`);
  const expected = [...sources, ...types, ...modules, 'LICENSE', 'README.md', 'package.json'];
  const found = installed.packed.files.map((file) => file.path);
  const without = (names, others) => names.filter((name) => !others.includes(name));
  assert.deepEqual(
    { missing: without(expected, found), unexpected: without(found, expected) },
    { missing: [], unexpected: [] },
  );
});

test('installed with its dependencies it takes less than 6.5 MiB, of which the model less than 3.5 MB', () => {
  const { bytes } = installed;
  assert.ok(bytes < MOST_BYTES, `${bytes} bytes`);
  const models = bytesIn(join(installed.folder, 'node_modules/halfbyte/examples/models'));
  assert.ok(models < MOST_MODEL_BYTES, `${models} bytes`);
});

test('it depends on nothing but the interpreter of chat templates', () => {
  for (const name of Object.keys(manifest.dependencies ?? {})) assert.equal(name, '@huggingface/jinja');
  const optional = manifest.peerDependenciesMeta ?? {};
  for (const name of Object.keys(manifest.peerDependencies ?? {})) assert.ok(optional[name]?.optional, name);
});

test('publint finds nothing to say about the tarball', async () => {
  await installed.run('publint', ['run', installed.tarball, '--strict']);
});

test('every export of the tarball has types that fit it, as attw sees it', async () => {
  // CommonJS gets the package by a dynamic import.
  await installed.run('attw', [installed.tarball, '--profile', 'esm-only', '--no-color']);
});

/** The names that the package exports and that are modules. */
const specifiers = () =>
  Object.keys(manifest.exports)
    .filter((name) => !name.endsWith('.json'))
    .map((name) => `halfbyte${name.slice(1)}`);

test('importing it on a server starts and changes nothing', async () => {
  const script = `
    const names = () => Object.getOwnPropertyNames(globalThis).sort().join();
    const before = names();
    globalThis.fetch = () => { throw new Error('something was fetched'); };
    for (const name of ${JSON.stringify(specifiers())}) await import(name);
    if (names() !== before) throw new Error('a global name was added');
    const open = process.getActiveResourcesInfo().filter((name) => !/Pipe|TTY|FS|Immediate/.test(name));
    if (open.length > 0) throw new Error('still open: ' + open);
  `;
  await installed.run('node', ['--input-type=module', '--eval', script]);
});

test('a bundler that uses no name of it keeps none of its code', async () => {
  writeFileSync(join(installed.folder, 'nothing.js'), specifiers().map((name) => `import '${name}';\n`).join(''));
  const bundle = await installed.run('esbuild', ['nothing.js', '--bundle', '--format=esm', '--log-level=error']);
  assert.equal(bundle.trim(), '');
});

test('its command runs from node_modules/.bin', async () => {
  assert.match(await installed.run('npx', ['--no-install', 'halfbyte', '--help']), /parity/);
});

test('its types are found by TypeScript in strict mode and name what a call yields', async () => {
  symlinkSync(join(root, 'node_modules/@types'), join(installed.folder, 'node_modules/@types'));
  writeFileSync(join(installed.folder, 'story.ts'), `
    import { capabilities, defaultModel, load } from 'halfbyte';
    const model = await load(defaultModel, { threads: 1, contextLength: 64 });
    for await (const text of model.generate('Once', { maxTokens: 1 })) text satisfies string;
    const tokens: ArrayLike<number> = await model.tokenize('Once');
    // @ts-expect-error: a prompt is a string or tokens
    model.generate(Symbol());
    await capabilities();
    await model.dispose();
    export { tokens };
  `);
  const flags = ['--noEmit', '--strict', '--target', 'es2022', '--types', 'node'];
  for (const module of [['nodenext', 'nodenext'], ['esnext', 'bundler']]) {
    const how = ['--module', module[0], '--moduleResolution', module[1]];
    await installed.run(join(root, 'node_modules/.bin/tsc'), [...flags, ...how, 'story.ts']);
  }
});
