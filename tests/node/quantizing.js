// What the tests of quantizing share: a small model with random weights, and a text that calibrates it.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { native, nativeProgram, needs } from './support.js';

export const needsNative = needs(nativeProgram);

/** Words in no order that repeats: its tokens are bytes, of which a model has thousands to be calibrated with. */
export const text = Array.from({ length: 1500 }, (_, i) => `w${(i * 7919) % 1013}`).join(' ');

/** A folder for a test, with a model in it. */
export async function workplace(shape = '64,2,4,2,128,300') {
  const folder = await mkdtemp(join(tmpdir(), 'halfbyte-quantize-'));
  const model = join(folder, 'model.gguf');
  await native('synth', '-o', model, '--shape', shape, '--type', 'f16');
  return {
    folder,
    model,
    bytes: await readFile(model),
    remove: () => rm(folder, { recursive: true }),
  };
}

/** The file that the native program makes. */
export async function nativeFile(model, folder, ...flags) {
  const path = join(folder, 'native.gguf');
  await native('quantize', ...flags, '--threads', '1', model, path);
  return readFile(path);
}

/** The bytes of a Blob. */
export const bytesOf = async (blob) => Buffer.from(await blob.arrayBuffer());
