// A button that runs something, and stops it while it runs.
import { say } from './dom.js';

/**
 * @param {HTMLButtonElement} button
 * @param {string} status id of the line that tells how it ended
 * @param {(signal: AbortSignal) => Promise<void>} body
 * @returns {() => void} stops it, too
 */
export function task(button, status, body) {
  /** @type {AbortController | undefined} */
  let running;
  button.addEventListener('click', async () => {
    if (running) return running.abort();
    running = new AbortController();
    const { signal } = running;
    const label = button.textContent;
    button.textContent = 'Stop';
    try {
      await body(signal);
    } catch (error) {
      say(status, signal.aborted ? 'Stopped.' : error.message, !signal.aborted);
    } finally {
      running = undefined;
      button.textContent = label;
    }
  });
  return () => running?.abort();
}
