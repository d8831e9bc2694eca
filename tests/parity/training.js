// Short trainings for the test of parity. What they write has the same bits on every native target;
// WebAssembly rounds products and sums apart, so that training has bits of its own there, which
// tests/node/finetune.test.js compares.
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const methods = [
  { name: 'trained-lora', result: 'adapter.gguf', flags: ['--method', 'lora', '--rank', 4] },
  { name: 'trained-qat', result: 'model.gguf', flags: ['--method', 'qat', '--round-inputs', '--small-moments'] },
];

/**
 * What is trained: a name, and the hash of what a target writes. `execute` runs a command and throws
 * where it fails.
 */
export function makeTrainings(folder, { model, execute }) {
  return methods.map(({ name, result, flags }) => ({
    name,
    hash: async ({ program, isa }, { threads }) => {
      const out = mkdtempSync(join(folder, `${name}-`));
      const size = ['--steps', 2, '--sequences', 3, '--length', 13]; // rows that fill no tile
      try {
        await execute([
          ...[...program, 'finetune', model, ...flags, '--data', 'LICENSE', ...size],
          ...['--isa', isa, '-t', threads, '--out', join(out, 'run')],
        ]);
        return createHash('sha256').update(readFileSync(join(out, 'run', result))).digest('hex');
      } finally {
        rmSync(out, { recursive: true });
      }
    },
  }));
}
