// The one number that must be the same on every target.

const NAN = 0x7fc00000; // stands for every NaN: which one comes out differs between processors

/**
 * The SHA-256, in hexadecimal, of logits as little-endian float32.
 * @param {Float32Array} logits
 */
export async function parityHash(logits) {
  const bits = new Uint32Array(logits.length);
  const floats = new Float32Array(bits.buffer);
  floats.set(logits);
  for (let i = 0; i < bits.length; i++) if (Number.isNaN(floats[i])) bits[i] = NAN;
  // Typed arrays, like the wire format, are little-endian on everything that runs WebAssembly.
  const digest = await crypto.subtle.digest('SHA-256', bits);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
