// Which model is to be quantized: its header is read when it is chosen, and nothing more.
import { cache, defaultModel, inspect, plan } from '../../web/index.js';
import { $, make, megabytes, say } from './dom.js';
import { askedFor, hubOptions, nameOf } from './names.js';

const FULL = ['F32', 'F16', 'BF16'];

/**
 * @typedef {object} Chosen
 * @property {any} source
 * @property {string} name
 * @property {{ hub?: string }} options
 * @property {number} bytes of its files
 * @property {boolean} quantized
 */

/** @param {() => void} onChange @returns {{ chosen: Chosen | undefined, take: (file: File) => void }} */
export function setUpFrom(onChange) {
  const from = { chosen: undefined, take: (file) => choose(file, file.name) };
  /** Of those whose headers are read, the last counts. */
  let last;

  async function choose(source, name, options = {}) {
    const mine = (last = {});
    from.chosen = undefined;
    onChange();
    say('from-status', `Reading the header of ${name}…`);
    try {
      const found = await inspect(source, options);
      const bytes = source.size ?? (await plan(source, options)).fileBytes;
      if (mine !== last) return;
      const type = mainType(found.tensors);
      const quantized = !FULL.includes(type);
      from.chosen = { source, name, options, bytes, quantized };
      const parameters = `${(found.parameters / 1e6).toFixed(1)} M parameters`;
      say(
        'from-status',
        `${name}: ${found.architecture}, ${parameters}, ${megabytes(bytes)} in ${type}.`,
      );
    } catch (error) {
      if (mine === last) say('from-status', `${name}: ${error.message}`, true);
    }
    $('again').hidden = !from.chosen?.quantized;
    onChange();
  }

  $('from-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const source = $('from').value.trim();
    if (source) choose(source, nameOf(source), hubOptions());
  });
  $('from-file').addEventListener('change', ({ target }) => {
    const [file] = target.files;
    target.value = ''; // so that the same file can be picked again
    if (file) from.take(file);
  });
  $('from-built-in').addEventListener('click', () => choose(defaultModel, nameOf(defaultModel)));
  $('from-kept').addEventListener('change', ({ target }) => {
    const { source, options } = askedFor(target.value);
    target.value = '';
    if (source) choose(source, nameOf(source), options);
  });
  $('tab-quantize').addEventListener('shown', showKept);
  return from;
}

/** The type of most of a model's bytes. @param {{ type: string, bytes: number }[]} tensors */
function mainType(tensors) {
  const sums = {};
  for (const { type, bytes } of tensors) sums[type] = (sums[type] ?? 0) + bytes;
  return Object.keys(sums).reduce((most, type) => (sums[type] > sums[most] ? type : most));
}

/** Offers what is kept on this device. */
async function showKept() {
  let entries = [];
  try {
    entries = await cache.list();
  } catch {
    // The part of the page that lists them says why.
  }
  const models = entries.filter(
    ({ identity, complete }) => complete && /^(https?|hf):/.test(identity),
  );
  const first = make('option', { value: '', textContent: 'Kept on this device…' });
  $('from-kept').replaceChildren(
    first,
    ...models.map(({ identity, size }) =>
      make('option', { value: identity, textContent: `${nameOf(identity)}, ${megabytes(size)}` }),
    ),
  );
  $('from-kept').hidden = models.length === 0;
}
