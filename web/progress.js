// How far a load has come and how fast it goes.

/** @import { Emit } from './engine.js' */
/** @import { Reader } from './sources.js' */

const INTERVAL = 50; // ms between two reports: at most 20 a second
const WINDOW = 5000; // ms over which the speed is measured
const SHORTEST = 200; // ms without which a speed means nothing

/**
 * How far loading is.
 * @typedef {object} LoadProgress
 * @property {'wait' | 'download' | 'load'} phase whether another tab or process is waited for that
 *   fetches the same file, bytes come from the network, or from this device
 * @property {number} loaded bytes so far; never fewer than before
 * @property {number | undefined} total bytes, if known
 * @property {number | undefined} bytesPerSecond over the last seconds, once it is known
 * @property {number | undefined} secondsLeft at that speed, if `total` is known
 */

export class Progress {
  #emit;
  /** @type {LoadProgress['phase']} */ #phase = 'load';
  #loaded = 0;
  /** Bytes of the files before the current one. */ #before = 0;
  #current = 0;
  /** @type {number | undefined} */ #total;
  #reported = -Infinity;
  /** Where the load was at some times. @type {{ time: number, loaded: number }[]} */ #marks = [];

  /** @param {Emit} emit */
  constructor(emit) {
    this.#emit = emit;
  }

  /** Everything begins anew; what was reported stays. */
  restart() {
    this.#before = this.#current = 0;
    this.#marks = [];
  }

  /** @param {LoadProgress['phase']} phase */
  enter(phase) {
    if (phase === this.#phase) return;
    this.#phase = phase;
    if (phase === 'wait') this.#report(performance.now());
  }

  /** A file begins. @param {number | undefined} size */
  begin(size) {
    this.#before += this.#current;
    this.#current = 0;
    this.#total = this.#before === 0 ? size : undefined;
  }

  /**
   * @param {number} bytes that were taken
   * @param {Reader} reader
   * @param {boolean} split whether more files follow, of unknown sizes
   */
  advance(bytes, { phase = 'load', received }, split) {
    this.#phase = phase;
    this.#current += bytes;
    const sure = this.#before + Math.max(this.#current, received ?? 0);
    this.#loaded = Math.max(this.#loaded, sure);
    if (split) this.#total = undefined;
    const now = performance.now();
    if (now - this.#reported >= INTERVAL) this.#report(now);
  }

  end() {
    this.#loaded = Math.max(this.#loaded, this.#before + this.#current);
    this.#total = this.#loaded;
    this.#report(performance.now());
  }

  /** @param {number} now */
  #report(now) {
    this.#reported = now;
    const [loaded, total] = [this.#loaded, this.#total];
    const bytesPerSecond = this.#speed(now);
    const secondsLeft =
      total !== undefined && bytesPerSecond ? Math.max(0, total - loaded) / bytesPerSecond : undefined;
    this.#emit({ phase: this.#phase, loaded, total, bytesPerSecond, secondsLeft });
  }

  /** @param {number} now @returns {number | undefined} */
  #speed(now) {
    this.#marks.push({ time: now, loaded: this.#loaded });
    while (this.#marks.length > 2 && now - this.#marks[1].time > WINDOW) this.#marks.shift();
    const { time, loaded } = this.#marks[0];
    return now - time < SHORTEST ? undefined : (1000 * (this.#loaded - loaded)) / (now - time);
  }
}
