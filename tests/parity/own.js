// Models with formats of halfbyte's own (src/quant/private.h), made for the test of parity: random
// ones of each type, and the default model with outliers beside its matrices and with int8 inputs of
// one scale a row, or a fixed one.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { align, padded, parse, string, u32, u64 } from '../cli/split.js';

const STRING = 8, BOOL = 7, F32 = 0, I8 = 24;
const key = (name, type, value) => Buffer.concat([string(name), u32(type), value]);
const record = (name, size, type) => Buffer.concat([string(name), u32(1), u64(size), u32(type)]);

/** Name and shape of a tensor's record. */
function describe({ record }) {
  const length = Number(record.readBigUInt64LE(0));
  const name = record.toString('latin1', 8, 8 + length);
  const dims = Array.from({ length: record.readUInt32LE(8 + length) }, (_, i) =>
    Number(record.readBigUInt64LE(12 + length + 8 * i)));
  return { name, dims };
}

/** Outliers in the columns that `columnsOf` gives for each row, with values in -0.25 .. 0.25. */
function outliers([, rows], columnsOf) {
  const starts = [0];
  const columns = [];
  for (let row = 0; row < rows; row++) starts.push(columns.push(...columnsOf(row)));
  const part = (halves) => Buffer.from(Uint16Array.from(halves.length % 2 ? [...halves, 0] : halves).buffer);
  const half = (i) => ((i * 40503) & 0x83ff) | 0x3000;
  return Buffer.concat([Buffer.from(Uint32Array.from(starts).buffer), part(columns), part(columns.map((_, i) => half(i)))]);
}

/** The default model as a file of halfbyte's own with more keys, and tensors beside its matrices. */
function extend(file, keys, beside) {
  const { values, valueCount, tensors } = parse(file);
  const stock = key('general.architecture', STRING, string('llama'));
  const at = values.indexOf(stock);
  if (at < 0) throw new Error('the default model is no Llama');
  const metadata = Buffer.concat([
    values.subarray(0, at), key('general.architecture', STRING, string('halfbyte-llama')),
    values.subarray(at + stock.length), ...keys,
  ]);
  const all = tensors.flatMap((tensor) => {
    const { name, dims } = describe(tensor);
    const matrix = dims.length === 2 && name.startsWith('blk.');
    return [tensor, ...(matrix ? beside(name.replace(/\.weight$/, ''), dims) : [])];
  });
  let offset = 0;
  const records = all.flatMap((tensor) => {
    const result = [tensor.record, u64(offset)];
    offset += align(tensor.bytes.length);
    return result;
  });
  const header = Buffer.concat([Buffer.from('GGUF'), u32(3), u64(all.length), u64(valueCount + keys.length), metadata, ...records]);
  return Buffer.concat([padded(header), ...all.map(({ bytes }) => padded(bytes))]);
}

const besideOutliers = (columnsOf) => (name, dims) => {
  const bytes = outliers(dims, (row) => columnsOf(row, dims[0]));
  return [{ record: record(`${name}.outliers`, bytes.length, I8), bytes }];
};
const scattered = (row, cols) => [row * 7, row * 7 + 31].map((column) => column % cols).sort((a, b) => a - b);
const scale = (name) => [
  { record: record(`${name}.input_scale`, 1, F32), bytes: Buffer.from(Float32Array.of(0.03).buffer) },
];

/** Writes the models; returns their paths. */
export function makeOwnModels(folder, { program, defaultModel }) {
  mkdirSync(folder, { recursive: true });
  const types = ['nf4', 'fp4', 'table4', 'table3', 'int2_64'].map((type) => {
    const path = join(folder, `own-${type}.gguf`);
    execFileSync(program, ['synth', '--shape', '320,2,5,1,576,600', '--type', type, '-o', path]);
    return path;
  });
  const file = readFileSync(defaultModel);
  const activations = (mode) => key('halfbyte.activations', STRING, string(mode));
  const skip = key('halfbyte.activations_skip_outliers', BOOL, Buffer.of(1));
  const models = {
    'own-outliers': extend(file, [], besideOutliers(scattered)),
    'own-token': extend(file, [activations('token'), skip], besideOutliers(() => [3, 40])),
    'own-tensor': extend(file, [activations('tensor')], scale),
  };
  for (const [name, bytes] of Object.entries(models)) writeFileSync(join(folder, `${name}.gguf`), bytes);
  return [...types, ...Object.keys(models).map((name) => join(folder, `${name}.gguf`))];
}
