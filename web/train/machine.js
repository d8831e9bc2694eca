// The module that trains.
import { FileMachine } from '../file-machine.js';

/** @import { Crew } from '../variants.js' */

const MODULE = () => new URL('../../build/wasm/halfbyte-train.wasm', import.meta.url);

/**
 * @param {number | undefined} threads
 * @param {(crew: Crew) => Promise<void>} startThreads
 */
export async function trainMachine(threads, startThreads) {
  const machine = new FileMachine();
  await machine.start(MODULE(), threads, startThreads);
  return machine;
}
