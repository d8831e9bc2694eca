// Texts in JSON Lines: a string in each line, or an object with one.
import { ArgumentError } from './generated.js';

/** @param {string} name @param {string} content @returns {string[]} */
export function textsOfLines(name, content) {
  const texts = [];
  for (const [i, line] of content.split('\n').entries()) {
    if (line.trim() === '') continue;
    /** @type {any} */
    let value;
    try {
      value = JSON.parse(line);
    } catch (cause) {
      throw new ArgumentError(`${name}, line ${i + 1}: this is no JSON`, { cause });
    }
    const found = [value, value?.text, value?.prompt].find((each) => typeof each === 'string');
    if (found === undefined)
      throw new ArgumentError(
        `${name}, line ${i + 1}: neither a string nor an object with a "text" or "prompt"`,
      );
    texts.push(found);
  }
  return texts;
}
