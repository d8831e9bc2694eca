// Training adapters: what it does is loaded with its first call.
/** @import { ModelSource } from './options.js' */
/** @import { Finetuning, FinetuneOptions, TrainingText } from './train/options.js' */

/**
 * Trains a LoRA adapter on a text: the model, of any types, stays as it is, and `load(source, {
 * lora: adapter })` runs it with what was learned. Steps are the native program's (`halfbyte
 * finetune --method lora`), the same to the bit with any number of threads; but WebAssembly cannot
 * fuse multiplications with additions, as the native program does, so the last bits of its adapters
 * differ from that one's.
 * @param {ModelSource | ModelSource[]} source as `load` takes it
 * @param {TrainingText} text a string or a file, which is cut into documents at lines `<|endoftext|>`
 *   or, without them, at two empty lines; of a File NAME.jsonl each line is a document. Of a list,
 *   strings are a document each
 * @param {FinetuneOptions} [options]
 * @returns {Promise<Finetuning>}
 */
export async function finetune(source, text, options = {}) {
  const { finetuneModel } = await import('./train/finetune.js');
  return finetuneModel(source, text, options);
}
