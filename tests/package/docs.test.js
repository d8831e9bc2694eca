// The reference that `npm run docs` writes.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { root, run } from './support.js';

let folder;
before(() => (folder = mkdtempSync(join(tmpdir(), 'halfbyte-docs-'))));
after(() => rmSync(folder, { recursive: true, force: true }));

test('every export is documented with its types, without a warning', async () => {
  const json = join(folder, 'docs.json');
  // A warning ends it with an error.
  await run('typedoc', ['--options', 'tests/package/docs/typedoc.json', '--json', json, '--out', folder], root);
  const modules = new Map(
    JSON.parse(readFileSync(json, 'utf8')).children.map(({ name, children }) => [
      name,
      new Set(children.map((each) => each.name)),
    ]),
  );
  for (const [name, documented] of modules) {
    const exported = Object.keys(await import(join(root, 'web', `${name}.js`)));
    assert.deepEqual(exported.filter((each) => !documented.has(each)), []);
  }
  assert.match(readFileSync(join(folder, 'index.html'), 'utf8'), /halfbyte/);
});
