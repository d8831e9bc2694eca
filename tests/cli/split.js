// Splits the default model into several files, as gguf-split of llama.cpp does it.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { defaultModel } from './support.js';

export const align = (offset) => (offset + 31) & ~31;
export const u32 = (value) => Buffer.from(Uint32Array.of(value).buffer);
export const u64 = (value) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
export const string = (text) => Buffer.concat([u64(text.length), Buffer.from(text)]);
export const padded = (bytes) => Buffer.concat([bytes, Buffer.alloc(align(bytes.length) - bytes.length)]);

/** The parts of a GGUF file: its metadata records as bytes, its tensors with their records. */
export function parse(file) {
  let at = 8;
  const number = () => Number(file.readBigUInt64LE((at += 8) - 8));
  const word = () => file.readUInt32LE((at += 4) - 4);
  const text = () => {
    const length = number();
    return file.toString('latin1', at, (at += length));
  };
  const sizes = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
  const skipValue = (type) => {
    if (type === 8) text();
    else if (type !== 9) at += sizes[type];
    else {
      const element = word();
      for (let left = number(); left > 0; left--) skipValue(element);
    }
  };
  const tensorCount = number();
  const valueCount = number();
  const start = at;
  for (let i = 0; i < valueCount; i++) {
    text();
    skipValue(word());
  }
  const values = file.subarray(start, at);
  const tensors = [];
  for (let i = 0; i < tensorCount; i++) {
    const recordStart = at;
    text();
    const dimensions = word();
    at += dimensions * 8;
    word();
    tensors.push({ record: file.subarray(recordStart, at), offset: number() });
  }
  const data = align(at);
  tensors.forEach((tensor, i) => {
    tensor.bytes = file.subarray(data + tensor.offset, data + (tensors[i + 1]?.offset ?? file.length - data));
  });
  return { values, valueCount, tensors };
}

function shard({ values, valueCount }, tensors, index, count, total) {
  const key = (name, type, bytes) => Buffer.concat([string(name), u32(type), bytes]);
  const u16 = (value) => Buffer.from(Uint16Array.of(value).buffer);
  let offset = 0;
  const records = tensors.flatMap(({ record, bytes }) => {
    const result = [record, u64(offset)];
    offset += align(bytes.length);
    return result;
  });
  const header = Buffer.concat([
    Buffer.from('GGUF'), u32(3), u64(tensors.length), u64((index ? 0 : valueCount) + 3),
    ...(index ? [] : [values]),
    key('split.no', 2, u16(index)), key('split.count', 2, u16(count)),
    key('split.tensors.count', 5, u32(total)),
    ...records,
  ]);
  return Buffer.concat([padded(header), ...tensors.map(({ bytes }) => padded(bytes))]);
}

/** Writes the default model as `count` files; returns their paths. */
export function split(folder, count) {
  const model = parse(readFileSync(defaultModel));
  const each = Math.ceil(model.tensors.length / count);
  return Array.from({ length: count }, (_, i) => {
    const digits = (n) => String(n).padStart(5, '0');
    const file = path.join(folder, `model-${digits(i + 1)}-of-${digits(count)}.gguf`);
    const tensors = model.tensors.slice(i * each, (i + 1) * each);
    writeFileSync(file, shard(model, tensors, i, count, model.tensors.length));
    return file;
  });
}
