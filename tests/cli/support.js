// What the tests of the command line share: running it, and finding models and vectors.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
export const program = process.env.HB_CLI ?? path.join(root, 'build/native/halfbyte');
const sharedRoot = path.resolve(root, process.env.HB_SHARED ?? '../shared');

export const defaultModel = path.join(root, 'examples/models/tales-5.8m-q4_0.gguf');

/** The path of a file in the shared test data. */
export const shared = (name) => path.join(sharedRoot, name);

/** Options of a test that needs that file: skipped, and saying so, where it is not there. */
export function needs(...names) {
  const missing = names.find((name) => !existsSync(shared(name)));
  return missing ? { skip: `no shared data (${missing})` } : {};
}

/** Runs `halfbyte ...args`; stdout is text unless `binary`. */
export function halfbyte(args, { input, binary = false, stdio, cwd } = {}) {
  const result = spawnSync(program, args, { input, stdio, cwd, maxBuffer: 1 << 28 });
  if (result.error) throw result.error;
  return {
    code: result.status,
    signal: result.signal,
    out: binary ? result.stdout : result.stdout?.toString(),
    err: result.stderr?.toString(),
  };
}

/** Runs a shell command line in which $HALFBYTE is the program. */
export function shell(commandLine) {
  const result = spawnSync('sh', ['-c', commandLine], {
    env: { ...process.env, HALFBYTE: program },
    maxBuffer: 1 << 28,
  });
  return { code: result.status, out: result.stdout.toString(), err: result.stderr.toString() };
}

/** A folder that is removed when the test `t` ends. */
export function temporaryFolder(t) {
  const folder = mkdtempSync(path.join(tmpdir(), 'halfbyte-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A file of little-endian float32 values. */
export function readFloats(file) {
  const bytes = readFileSync(file);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

/** sum (a-b)^2 / sum b^2 */
export function normalizedSquaredError(actual, expected) {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i] - expected[i]) ** 2;
    size += expected[i] ** 2;
  }
  return difference / size;
}

/** The index of the largest value in each row. */
export function argmaxOfRows(values, width) {
  const found = [];
  for (let start = 0; start < values.length; start += width) {
    const row = values.subarray(start, start + width);
    found.push(row.indexOf(row.reduce((a, b) => Math.max(a, b))));
  }
  return found;
}

/** The instruction sets that this machine runs. */
export function availableIsas() {
  const lines = halfbyte(['selftest']).out.trim().split('\n');
  return lines.map((line) => line.split(' ')[0]);
}
