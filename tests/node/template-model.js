// The default model with more metadata.
import { readFileSync } from 'node:fs';
import { modelPath } from './support.js';

const ALIGNMENT = 32; // of a file's data
const STRING = 8;

const u32 = (value) => Buffer.from(Uint32Array.of(value).buffer);
const text = (value) => {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from(BigUint64Array.of(BigInt(bytes.length)).buffer), bytes]);
};
const record = (key, value) => Buffer.concat([text(key), u32(STRING), text(value)]);

/** The file's bytes, with texts by their keys before its own metadata. */
export function modelWith(values) {
  const file = readFileSync(modelPath);
  const records = Object.entries(values).map(([key, value]) => record(key, value));
  const length = Buffer.concat(records).length + record('test.padding', '').length;
  records.push(record('test.padding', ' '.repeat(ALIGNMENT - (length % ALIGNMENT))));
  const start = Buffer.from(file.subarray(0, 24));
  start.writeBigUInt64LE(start.readBigUInt64LE(16) + BigInt(records.length), 16);
  return Buffer.concat([start, ...records, file.subarray(24)]);
}
