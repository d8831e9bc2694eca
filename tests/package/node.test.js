// Applications of Node that install the packed tarball.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { installPackage } from './support.js';

let installed;
before(() => (installed = installPackage()));
after(() => installed?.remove());

test('an ES module and a CommonJS module tell the same story', async () => {
  const told = await installed.story();
  assert.ok(told.trim().length > 20, told);
  assert.equal(await installed.run('node', ['story.js'], installed.app('node-cjs')), told);
});
