// `npm run bench:quality`, on a little text: a row for what can be made, a word on what cannot.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { needs, program, temporaryFolder } from './support.js';

const script = fileURLToPath(new URL('../quality/run.js', import.meta.url));
const bench = (...args) =>
  spawnSync(process.execPath, [script, ...args], { encoding: 'utf8', env: { ...process.env, HB_CLI: program } });

test('the table has what was measured, and what was left out',
  needs('models/tales-5.8m/tales-5.8m-f32.gguf', 'text/tales-val.txt'), (t) => {
    const out = temporaryFolder(t);
    const { status, stdout, stderr } = bench(
      '--chunks', '2', '-c', '32', '--out', out, '--runs', 'rtn:q4_0,rtn:q8_0,nosuch:q4_0,rtn:q99',
    );
    assert.equal(status, 0, stderr);
    const rows = stdout.split('\n').filter((line) => line.startsWith('| '));
    const cells = rows.map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()));
    assert.deepEqual(cells[0].slice(0, 4), ['method', 'type', 'bits/weight', 'MB']);
    assert.deepEqual(cells[2].slice(0, 4), ['F32', '', '32.000', '23.18']);
    assert.deepEqual(cells[3].slice(0, 4), ['rtn', 'Q4_0', '4.516', '3.35']);
    assert.deepEqual(cells[4].slice(0, 3), ['rtn', 'Q8_0', '8.514']);
    const divergence = (row) => Number(row[6].split(' ')[0]);
    assert.ok(divergence(cells[3]) > 5 * divergence(cells[4]));
    assert.match(stdout, /^- nosuch q4_0: skipped, unknown method nosuch/m);
    assert.match(stdout, /^- rtn q99: skipped, type q99 is neither/m);
    assert.equal(readFileSync(path.join(out, 'quality.md'), 'utf8').trim(), stdout.trim());
    assert.ok(existsSync(path.join(out, 'report/index.html')));
  });

test('a run that fails is listed, and fails the command',
  needs('models/tales-5.8m/tales-5.8m-f32.gguf'), (t) => {
    const { status, stdout } = bench('-f', 'nosuchfile', '--out', temporaryFolder(t), '--runs', 'rtn:q4_0');
    assert.equal(status, 1);
    assert.match(stdout, /^- rtn q4_0: failed: cannot open nosuchfile/m);
  });
