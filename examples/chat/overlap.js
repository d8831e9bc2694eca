// Whether a text was seen before: a model that was calibrated with it does better on it than on others.
const PIECE = 80; // letters
const STEP = 400;

/**
 * @param {string} text
 * @param {(string | Blob)[]} seen
 * @returns {Promise<boolean>} whether a piece of the text is in what was seen
 */
export async function overlap(text, seen) {
  const all = await Promise.all(
    seen.map((each) => (typeof each === 'string' ? each : each.text())),
  );
  for (let at = 0; at + PIECE <= text.length; at += STEP) {
    const piece = text.slice(at, at + PIECE);
    if (all.some((each) => each.includes(piece))) return true;
  }
  return false;
}
