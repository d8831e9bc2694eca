// Texts to train with, cut into documents as the native program cuts them.
import { ArgumentError } from '../generated.js';
import { textsOfLines } from '../jsonl.js';

/** @import { TrainingText } from './options.js' */

const MARK = '<|endoftext|>';

/**
 * @param {string} name as messages call it
 * @param {TrainingText} given
 * @returns {Promise<string[]>}
 */
export async function documentsOf(name, given) {
  /** @type {string[]} */
  const documents = [];
  for (const each of Array.isArray(given) ? given : [given]) {
    if (typeof each === 'string') {
      if (each === given) documents.push(...cut(each));
      else documents.push(each);
    } else if (each instanceof Blob) documents.push(...(await documentsOfFile(each)));
    else throw new ArgumentError(`${name} is a text, a File, or a list of them, not ${each}`);
  }
  const filled = documents.filter((text) => text !== '');
  if (filled.length === 0) throw new ArgumentError(`${name} is empty`);
  return filled;
}

/** @param {Blob} file */
async function documentsOfFile(file) {
  const { name = '' } = /** @type {Partial<File>} */ (file);
  const content = await file.text();
  return name.endsWith('.jsonl') ? textsOfLines(name, content) : cut(content);
}

/** @param {string} text */
function cut(text) {
  const clean = text.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n');
  return clean.split(clean.includes(MARK) ? MARK : '\n\n\n').map(trim);
}

/** Without the empty lines around it. @param {string} piece */
const trim = (piece) => piece.replace(/^[\n \t]*\n/, '').replace(/^[ \t]*$|\n+$/, '');
