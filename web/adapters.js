// Reads LoRA adapters and adds them to a model.
import { Restart } from './download/restart.js';
import { targetOf } from './download/target.js';
import { HalfbyteError } from './error.js';
import { OutOfMemoryError } from './generated.js';
import { openSource } from './sources.js';
import { capabilities } from './variants.js';

/** @import { Core, Pointer } from './core.js' */
/** @import { Progress } from './progress.js' */
/** @import { Reader, Source, Surroundings } from './sources.js' */

/** @typedef {{ source: Source, scale: number }} AdapterSource an adapter as it travels to the worker */
/**
 * An adapter of a loaded model.
 * @typedef {object} LoadedAdapter
 * @property {string} name of its file, or its URL
 * @property {number} scale
 */

const PIECE = 1 << 20; // bytes that are read at once
const LONG_NAME = 80; // a data URL is its contents

/** @param {Source} source */
export function nameOf(source) {
  if (source.kind === 'path') return source.path;
  if (source.kind === 'url') return source.url.slice(0, LONG_NAME);
  return 'name' in source ? source.name : source.kind;
}

/**
 * Reads an adapter and adds it to the model.
 * @param {Core} core
 * @param {Pointer} model
 * @param {AdapterSource} adapter
 * @param {{ surroundings: Surroundings, model: Source, progress: Progress, index: number }} how
 *   `model`: the source of the model; `index`: of the file among all
 */
export async function addAdapter(core, model, adapter, how) {
  const { progress, index } = how;
  const surroundings = surroundingsOf(adapter.source, how.model, how.surroundings);
  for (let tries = 1; ; tries++) {
    try {
      const reader = await openSource(adapter.source, surroundings);
      if (tries === 1) progress.begin(index, reader);
      else progress.again(reader);
      return await readAndAdd(core, model, adapter, reader, progress);
    } catch (error) {
      if (!(error instanceof Restart)) throw error;
      if (tries > error.most) throw named(nameOf(adapter.source), error.error);
    }
  }
}

/**
 * Those of an adapter: a caller's headers may hold a password, which is for the model's server.
 * @template {Pick<Surroundings, 'settings'>} T
 * @param {Source} adapter
 * @param {Source} model
 * @param {T} surroundings
 * @returns {T}
 */
export function surroundingsOf(adapter, model, surroundings) {
  const { settings = {} } = surroundings;
  const originOf = (/** @type {Source} */ source) =>
    source.kind === 'download' && new URL(targetOf(source.name, settings.hub).url).origin;
  if (originOf(adapter) === originOf(model)) return surroundings;
  return { ...surroundings, settings: { ...settings, headers: undefined } };
}

/**
 * @param {Core} core
 * @param {Pointer} model
 * @param {AdapterSource} adapter
 * @param {Reader} reader
 * @param {Progress} progress
 */
async function readAndAdd(core, model, { source, scale }, reader, progress) {
  try {
    const pieces = await readAll(reader, progress);
    const size = pieces.reduce((sum, { length }) => sum + length, 0);
    core.scope((allocate) => {
      const at = allocate(Math.max(1, size));
      let end = at;
      for (const piece of pieces) {
        core.bytes.set(piece, end);
        end += piece.length;
      }
      core.check('hb_model_adapt', model, at, size, scale);
    });
    return { name: nameOf(source), scale, notKept: reader.notKept };
  } catch (error) {
    const told = (await reader.blame?.(error)) ?? error;
    throw told instanceof Restart ? told : named(nameOf(source), told);
  }
}

/** @param {Reader} reader @param {Progress} progress */
async function readAll(reader, progress) {
  const { maximum } = capabilities().memory;
  const buffer = new Uint8Array(PIECE);
  /** @type {Uint8Array[]} */
  const pieces = [];
  let size = reader.size ?? 0;
  let read = 0;
  try {
    for (;;) {
      if (size > maximum)
        throw new OutOfMemoryError(`an adapter of ${size} bytes is more than WebAssembly can hold`);
      const count = await reader.read(() => buffer);
      if (count === 0) return pieces;
      pieces.push(buffer.slice(0, count));
      size = Math.max(size, (read += count));
      progress.advance(count, reader);
    }
  } finally {
    await reader.close();
  }
}

/** The same error with the adapter's name. @param {string} name @param {unknown} error */
function named(name, error) {
  if (error instanceof HalfbyteError && !error.message.includes(name))
    error.message = `${name}: ${error.message}`;
  return error;
}
