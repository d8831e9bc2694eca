// Says how a page gets threads, to whoever builds it.
import { capabilities } from './variants.js';

let said = false;

/**
 * Tells the console, once for all models, if a model runs on one thread only because the page is
 * not cross-origin isolated. Who asked for one thread is told nothing.
 * @param {string | undefined} threadsReason
 */
export function adviseIsolation(threadsReason) {
  const { reason, fix } = capabilities().threads;
  if (said || threadsReason === undefined || threadsReason !== reason) return;
  said = true;
  console.info(`halfbyte uses one thread only: ${reason}. To change that, ${fix}.`);
}
