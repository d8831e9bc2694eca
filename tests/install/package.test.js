// The npm package: exactly these files, and an application that installs it can import it, run its
// command and check its types.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';

let folder, packed;

const run = (command, ...args) => execFileSync(command, args, { cwd: folder, encoding: 'utf8' });

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'halfbyte-package-'));
  // The suite has built what prepack would build.
  const out = execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], {
    encoding: 'utf8',
  });
  packed = JSON.parse(out)[0];
  writeFileSync(join(folder, 'package.json'), '{ "name": "application", "private": true, "type": "module" }');
  run('npm', 'install', '--offline', '--no-audit', '--no-fund', join(folder, packed.filename));
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('the package holds the sources of web with their types, the modules and the default model', () => {
  const tracked = execFileSync('git', ['ls-files', 'web/*.js', 'examples/models'], { encoding: 'utf8' });
  const sources = tracked.split('\n').filter(Boolean);
  const types = sources.filter((name) => /^web\/.*\.js$/.test(name)).map((name) => `build/types/${name.slice(4, -2)}d.ts`);
  const names = ['relaxed', 'relaxed-threads', 'simd', 'simd-threads', 'synthetic'];
  const modules = names.map((name) => `build/wasm/halfbyte-${name}.wasm`);
  const expected = [...sources, ...types, ...modules, 'LICENSE', 'README.md', 'package.json'].sort();
  assert.deepEqual(packed.files.map((file) => file.path).sort(), expected);
});

test('an application imports it and generates text', () => {
  writeFileSync(join(folder, 'story.js'), `
    import { defaultModel, load } from 'halfbyte';
    const model = await load(defaultModel);
    for await (const text of model.generate('Once upon a time', { maxTokens: 8, temperature: 0 }))
      process.stdout.write(text);
    await model.dispose();
  `);
  assert.notEqual(run('node', 'story.js').trim(), '');
});

test('its command runs from node_modules/.bin', () => {
  assert.match(run('npx', '--no-install', 'halfbyte', '--help'), /parity/);
});

test('its types are found by TypeScript in strict mode and name what a call yields', () => {
  symlinkSync(resolve('node_modules/@types'), join(folder, 'node_modules/@types'));
  writeFileSync(join(folder, 'story.ts'), `
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
  const flags = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'nodenext', '--types', 'node'];
  run(resolve('node_modules/.bin/tsc'), ...flags, 'story.ts');
});
