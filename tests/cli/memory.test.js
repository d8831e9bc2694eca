// What a running model takes of the machine's memory: its weights, its cache and little else.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { halfbyte, program, temporaryFolder } from './support.js';

const MIB = 2 ** 20;
const LAYERS = 12;
const KV_WIDTH = 256; // 4 heads of 64
const SHAPE = `1024,${LAYERS},16,4,4096,32000`; // 218 MiB in Q8_0
const CONTEXT = 1024;

/** The most memory a process ever had, while it still runs. */
const peakBytes = (pid) =>
  Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;

test(
  'a model takes the memory of its weights and cache and less than 40 MB more',
  existsSync('/proc/self/status') ? {} : { skip: 'no /proc' },
  async (t) => {
    const file = path.join(temporaryFolder(t), 'model.gguf');
    const made = halfbyte(['synth', '--shape', SHAPE, '--type', 'q8_0', '-o', file]);
    assert.equal(made.code, 0, made.err);
    const weights = /weights ([\d.]+) MiB/.exec(halfbyte(['inspect', file]).out)[1] * MIB;
    assert.ok(weights > 200 * MIB);
    const cache = 2 * 2 * LAYERS * KV_WIDTH * CONTEXT;

    for (const threads of ['1', '2']) {
      const child = spawn(program, [
        'chat', '-m', file, '-t', threads, '--ctx', String(CONTEXT), '-n', '8',
      ]);
      t.after(() => child.kill());
      child.stdin.write(`${'once upon a time '.repeat(30)}\n`); // more tokens than one batch takes
      await once(child.stdout, 'data');
      const more = peakBytes(child.pid) - weights - cache;
      child.stdin.end();
      await once(child, 'close');
      assert.ok(more < 40e6, `${threads} threads: ${(more / 1e6).toFixed(1)} MB more`);
      t.diagnostic(`${threads} threads: ${(more / 1e6).toFixed(1)} MB more`);
    }
  },
);
