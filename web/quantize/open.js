// Opens the files of a model one after the other.
import { Restart } from '../download/restart.js';
import { shardOf, splitCount } from '../sources.js';

/** @import { Pointer } from '../core.js' */
/** @import { FileMachine } from '../file-machine.js' */
/** @import { Source } from '../sources.js' */
/** @import { Files } from './files.js' */

/**
 * Begins anew where what was downloaded turned out to be wrong.
 * @template T
 * @param {Files} files
 * @param {() => Promise<T>} open
 * @returns {Promise<T>}
 */
export async function openAgain(files, open) {
  for (let tries = 1; ; tries++) {
    try {
      return await open();
    } catch (error) {
      if (!(error instanceof Restart)) throw error;
      if (tries > error.most) throw error.error;
      await files.restart();
    }
  }
}

/**
 * @param {FileMachine} machine
 * @param {Files} files
 * @param {Source[]} sources all files of a model, or the first one
 * @param {{ more?: number, onHeader?: (gguf: Pointer) => void }} [how] `more`: files that come behind
 *   these; `onHeader`: is called when the header of a file is complete
 * @returns {Promise<Pointer>} an hb_gguf
 */
export async function openShards(machine, files, sources, { more = 0, onHeader } = {}) {
  const { core } = machine;
  const gguf = machine.createHeader();
  let count = Math.max(sources.length, splitCount(sources[0]));
  files.expect(count + more);
  for (let shard = 0; shard < count; shard++) {
    const source = sources[shard] ?? shardOf(sources[0], shard, count);
    await files.open(source, gguf, () => onHeader?.(gguf));
    count = core.call('hb_gguf_shard_count', gguf);
    files.expect(count + more);
  }
  core.check('hb_gguf_check_complete', gguf);
  return gguf;
}
