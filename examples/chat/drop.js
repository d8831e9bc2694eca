// Takes a file that is dropped anywhere on the page.
import { $ } from './dom.js';

/**
 * @typedef {object} Taker
 * @property {string} says what dropping a file here does
 * @property {(file: File) => void} take
 */

/** @param {() => Taker} taker of the part that is shown */
export function setUpDrop(taker) {
  const files = (event) => event.dataTransfer?.types.includes('Files');
  addEventListener('dragover', (event) => {
    if (!files(event)) return;
    event.preventDefault();
    $('drop').textContent = taker().says;
    $('drop').hidden = false;
  });
  addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) $('drop').hidden = true;
  });
  addEventListener('drop', (event) => {
    $('drop').hidden = true;
    if (!files(event)) return;
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) taker().take(file);
  });
}
