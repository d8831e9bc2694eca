// A model of several chunks of a download.
import { openSource } from '../../web/sources.js';

/** The file of a model with random weights, of 18 MB. @returns {Promise<Buffer>} */
export async function randomModel() {
  const shape = '256,8,4,2,1024,4000';
  const reader = await openSource({ kind: 'synthetic', shape, type: 'f16', seed: 1n }, {});
  const pieces = [];
  const buffer = new Uint8Array(1 << 20);
  for (let n; (n = await reader.read(() => buffer)) > 0;)
    pieces.push(Buffer.from(buffer.slice(0, n)));
  await reader.close();
  return Buffer.concat(pieces);
}
