// When to ask a server again, and how long to wait before.
import { NetworkError } from '../error.js';
import { AbortError } from '../generated.js';

/**
 * How patient a download is, in milliseconds.
 * @typedef {object} Patience
 * @property {number} attempts in a row without a new byte, then it is given up
 * @property {number} unknown attempts at a server that has never answered
 * @property {number} first wait, doubled with each failure
 * @property {number} longest wait that is our own choice
 * @property {number} longestAsked wait that a server may ask for
 * @property {number} stall how long a connection may say nothing
 */

/**
 * Hears when it is asked again, by performance.now(), and gives what is to be called then.
 * @typedef {(until: number) => () => void} OnRetry
 */

/** @type {Patience} */
export const PATIENCE = {
  attempts: 7,
  unknown: 3,
  first: 500,
  longest: 30_000,
  longestAsked: 10 * 60_000,
  stall: 30_000,
};

/** Answers that another moment may change. */
const PASSING = new Set([408, 416, 425, 429, 500, 502, 503, 504]);

/** Whether asking again may help. @param {unknown} error */
export function isPassing(error) {
  return (
    error instanceof NetworkError && (error.status === undefined || PASSING.has(error.status))
  );
}

/**
 * `Retry-After`: seconds or a date.
 * @param {string | null} value
 * @param {number} now
 * @returns {number | undefined} seconds
 */
export function retryAfter(value, now = Date.now()) {
  if (value === null) return undefined;
  if (/^\s*\d{1,9}\s*$/.test(value)) return Number(value);
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, Math.ceil((date - now) / 1000));
}

/** Counts the failures of one transfer and waits between its attempts. */
export class Backoff {
  #patience;
  #signal;
  #onRetry;
  #failures = 0;

  /** @param {Patience} patience @param {AbortSignal} signal @param {OnRetry} [onRetry] */
  constructor(patience, signal, onRetry) {
    this.#patience = patience;
    this.#signal = signal;
    this.#onRetry = onRetry;
  }

  /** Bytes came: whatever fails next is a new trouble. */
  advanced() {
    this.#failures = 0;
  }

  /**
   * Waits before the next attempt; false if there is no sense in one.
   * @param {unknown} error
   * @param {boolean} [known] whether the server has ever answered: an address that is wrong is to be
   *   told soon
   */
  async goesOn(error, known = true) {
    const { attempts, unknown, first, longest, longestAsked } = this.#patience;
    if (!isPassing(error)) return false;
    const silent = !known && /** @type {NetworkError} */ (error).status === undefined;
    if (++this.#failures >= (silent ? unknown : attempts)) return false;
    const asked = 1000 * (/** @type {NetworkError} */ (error).retryAfter ?? 0);
    if (asked > longestAsked) return false;
    // Half of the wait is by chance, so that those who failed together do not come back together.
    const own = Math.min(longest, first * 2 ** (this.#failures - 1)) * (0.5 + Math.random() / 2);
    const wait = Math.max(asked, own);
    const over = this.#onRetry?.(performance.now() + wait);
    try {
      await sleep(wait, this.#signal);
    } finally {
      over?.();
    }
    return true;
  }
}

/** @param {number} milliseconds @param {AbortSignal} signal @returns {Promise<void>} */
export function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(aborted(signal));
    const onAbort = () => {
      clearTimeout(timer);
      reject(aborted(signal));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    }, milliseconds);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

/** @param {AbortSignal} signal */
export function aborted(signal) {
  return new AbortError('the download was aborted', { cause: signal.reason });
}
