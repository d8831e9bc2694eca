// What the tests of the JavaScript interface share.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { defaultModel } from '../../web/index.js';

export const root = fileURLToPath(new URL('../../', import.meta.url));
export const modelPath = fileURLToPath(defaultModel);
export const nativeProgram = `${root}build/native/halfbyte${process.platform === 'win32' ? '.exe' : ''}`;
export const shared = process.env.HB_SHARED ?? `${root}../shared`;

export const PROMPT = 'Once upon a time there was a little girl who';

/** Options of a test that needs files which may be absent: says so instead of passing silently. */
export function needs(...paths) {
  const missing = paths.filter((path) => !existsSync(path));
  return missing.length ? { skip: `skipped: no ${missing.join(', no ')}` } : {};
}

const run = promisify(execFile);

/** What the native program prints. */
export async function native(...args) {
  return (await run(nativeProgram, args)).stdout.trim();
}

/** What `halfbyte` of Node prints and how it ends. */
export async function cli(...args) {
  const script = fileURLToPath(new URL('../../web/cli.js', import.meta.url));
  try {
    const { stdout, stderr } = await run(process.execPath, [script, ...args]);
    return { code: 0, stdout, stderr };
  } catch (error) {
    return { code: error.code, stdout: error.stdout, stderr: error.stderr };
  }
}

/** All strings of an async iterable as one. */
export async function collect(iterable) {
  let text = '';
  for await (const part of iterable) text += typeof part === 'string' ? part : part.text;
  return text;
}

/** A generation whose text depends on the model and the prompt alone. */
export const greedy = { temperature: 0, maxTokens: 40 };
