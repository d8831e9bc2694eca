/**
 * Thrown by a reader whose bytes turned out to be wrong after some were given away: whatever was
 * made of them is to be dropped, and the reading begun anew. `error` is what to tell a caller once
 * that happened more than `most` times.
 */
export class Restart extends Error {
  /** @param {Error} error @param {number} most */
  constructor(error, most) {
    super(error.message, { cause: error });
    this.error = error;
    this.most = most;
  }
}
