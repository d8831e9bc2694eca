import { EnvironmentError } from '../error.js';
/** @returns {Promise<import('./store.js').Store>} */
export async function openOpfs() {
  throw new EnvironmentError('this browser has no file system of its own for pages');
}
