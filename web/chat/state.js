// What a session has read, as a Blob and back. The pieces are those of src/model/state.c; each is
// checked there, and only one at a time is in memory.
import { AbortError, ArgumentError, FormatError, TruncatedError } from '../generated.js';
import { breathe } from '../platform.js';

/** @import { Core } from '../core.js' */
/** @import { Watch } from '../engine.js' */
/** @import { Session } from '../session.js' */

const HEADER_BYTES = 40; // HB_STATE_HEADER_BYTES
const POSITIONS_AT = 12;
const TOTAL_AT = 32;

export const STATE_TYPE = 'application/x-halfbyte-state';

/** @param {Core} core @param {Session} session @param {number} positions @param {number} piece */
function pieceBytes(core, session, positions, piece) {
  return Number(core.result64('hb_state_piece_bytes', session.pointer, positions, piece));
}

/**
 * @param {Core} core
 * @param {Session} session
 * @param {Watch} watch
 * @returns {Promise<Blob>}
 */
export async function saveState(core, session, watch) {
  const { held } = session;
  let blob = new Blob([], { type: STATE_TYPE });
  const pieces = core.call('hb_state_pieces', session.pointer);
  for (let piece = 0; piece < pieces; piece++) {
    await breathe();
    if (watch.aborted) throw new AbortError('the saving of a state was aborted');
    const size = pieceBytes(core, session, held.length, piece);
    const bytes = core.scope((allocate) => {
      const tokens = allocate(held.length * 4);
      core.putTokens(tokens, held);
      const out = allocate(size);
      core.check('hb_state_save', session.pointer, tokens, piece, out, size);
      return core.bytes.slice(out, out + size);
    });
    blob = new Blob([blob, bytes], { type: STATE_TYPE });
  }
  return blob;
}

/**
 * Until the last piece is in, the session holds nothing.
 * @param {Core} core
 * @param {Session} session
 * @param {Blob} blob
 * @param {Watch} watch
 * @returns {Promise<number>} tokens that the session then holds
 */
export async function restoreState(core, session, blob, watch) {
  const header = new DataView(await blob.slice(0, HEADER_BYTES).arrayBuffer());
  if (header.byteLength < HEADER_BYTES) throw new FormatError('this is no saved state');
  const positions = header.getUint32(POSITIONS_AT, true);
  const total = Number(header.getBigUint64(TOTAL_AT, true));
  if (isState(header) && blob.size !== total)
    throw new TruncatedError(`the state has ${blob.size} bytes, not ${total}`);
  /** @type {number[]} */
  let tokens = [];
  const pieces = core.call('hb_state_pieces', session.pointer);
  for (let piece = 0, at = 0; piece < pieces; piece++) {
    await breathe();
    if (watch.aborted) throw new AbortError('the restoring of a state was aborted');
    // What is no state at all claims any length: its header is to say so, not its length.
    const known = piece > 0 || isState(header);
    const size = known ? pieceBytes(core, session, positions, piece) : HEADER_BYTES;
    const bytes = new Uint8Array(await blob.slice(at, at + size).arrayBuffer());
    at += size;
    core.scope((allocate) => {
      const place = allocate(bytes.length);
      core.bytes.set(bytes, place);
      core.check('hb_state_restore', session.pointer, piece, place, bytes.length);
      if (piece > 0) return;
      session.holds([]);
      tokens = core.tokens(place + HEADER_BYTES, positions);
    });
  }
  session.holds(tokens);
  return tokens.length;
}

/** @param {DataView} header */
function isState(header) {
  return new TextDecoder().decode(new Uint8Array(header.buffer, 0, 8)) === 'HBSTATE\0';
}

/**
 * A Blob that another thread can read: in Node those of files cannot.
 * @param {unknown} blob
 * @returns {Promise<Blob>}
 */
export async function travelling(blob) {
  if (!(blob instanceof Blob)) throw new ArgumentError('a state is a Blob, as saveState gives it');
  try {
    structuredClone(blob);
    return blob;
  } catch {
    const parts = [];
    for (let at = 0; at < blob.size; at += PART)
      parts.push(new Blob([await blob.slice(at, at + PART).arrayBuffer()]));
    return new Blob(parts, { type: blob.type });
  }
}

const PART = 4 << 20;
