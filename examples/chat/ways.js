// How a model is quantized: a type, a method, and text where the method wants some.
import { $, make, megabytes } from './dom.js';

/** @type {Record<string, { name: string, says: string }>} `says`: in a sentence */
export const TYPES = {
  q4_0: { name: 'Q4_0, 4.5 bits', says: 'The fastest: 32 weights share a scale.' },
  q4_k: {
    name: 'Q4_K, 4.5 bits',
    says: 'Scales on two levels, each with a minimum: nearer to the original in the same room.',
  },
  q4_k_m: {
    name: 'Q4_K_M, about 4.9 bits',
    says: 'Q4_K, with more bits for the tensors that need them most.',
  },
  q5_k_m: {
    name: 'Q5_K_M, about 5.7 bits',
    says: 'Five bits, and six where they are needed most: a small loss.',
  },
  q6_k: { name: 'Q6_K, 6.6 bits', says: 'Hardly to be told from the original.' },
  q8_0: { name: 'Q8_0, 8.5 bits', says: 'Practically without loss, in half the room of 16 bits.' },
  q3_k: {
    name: 'Q3_K, 3.4 bits',
    says: 'Experimental: the smallest here, and it costs quality.',
  },
  q4_1: { name: 'Q4_1, 5 bits', says: '32 weights share a scale and a minimum.' },
  q5_1: { name: 'Q5_1, 6 bits', says: 'As Q4_1, with twice as many steps.' },
  nf4: { name: 'NF4, 4.2 bits', says: 'The type of this method; the file runs in halfbyte only.' },
};

const COMMON = ['q4_0', 'q4_k', 'q4_k_m', 'q5_k_m', 'q6_k', 'q8_0', 'q3_k'];

/**
 * @typedef {object} Method
 * @property {string} name
 * @property {string} says in a sentence
 * @property {string[]} types that it can write
 * @property {boolean} [text] whether it wants text to calibrate with
 */

/** @type {Record<string, Method>} */
export const METHODS = {
  rtn: {
    name: 'Plain rounding',
    says: 'Each weight takes the nearest value: seconds, without text.',
    types: COMMON,
  },
  imatrix: {
    name: 'Importance matrix',
    says: 'The weights that the text makes most use of are rounded with the most care.',
    types: COMMON,
    text: true,
  },
  gptq: {
    name: 'GPTQ',
    says: 'Weights that are still to come make up for each error of rounding: as a rule the best.',
    types: COMMON,
    text: true,
  },
  awq: {
    name: 'AWQ',
    says: 'The inputs that matter most are scaled up before rounding, as far as a long search finds it good.',
    types: COMMON,
    text: true,
  },
  hqq: {
    name: 'HQQ',
    says: 'Moves the minimum of each block until few large errors are left, without text.',
    types: ['q4_1', 'q5_1'],
  },
  nf4: {
    name: 'NF4',
    says: 'NormalFloat: 16 values spread as weights are, without text.',
    types: ['nf4'],
  },
};

const FIRST = { method: 'rtn', type: 'q4_k_m' };

const method = () => $('method').value;

export function setUpWays() {
  /** @type {File | undefined} */
  let file;
  offer($('method'), METHODS, FIRST.method);
  $('method').addEventListener('change', show);
  $('type').addEventListener('change', show);
  $('calibration-file').addEventListener('change', ({ target }) => {
    const [file] = target.files;
    target.value = '';
    if (file) take(file);
  });
  $('no-calibration-file').addEventListener('click', () => {
    take(undefined);
    $('calibration').focus(); // the button is gone
  });
  show();

  /** Takes a file to calibrate with, or none. @param {File | undefined} given */
  function take(given) {
    file = given;
    $('calibration-name').textContent = given ? `${given.name}, ${megabytes(given.size)}` : '';
    $('no-calibration-file').hidden = !given;
    if (given && !METHODS[method()].text) $('method').value = 'gptq';
    show();
  }

  /** What there is to calibrate with. @returns {(string | File)[]} */
  const texts = () => {
    const written = $('calibration').value;
    return [...(written.trim() ? [written] : []), ...(file ? [file] : [])];
  };

  /** The options of `quantize`. */
  function options() {
    const { text } = METHODS[method()];
    const calibration = text ? texts() : [];
    if (text && calibration.length === 0)
      throw new Error('This method wants text to calibrate with: choose a file, or paste some.');
    return {
      type: $('type').value,
      method: method(),
      ...(text && { calibration, ...amounts() }),
    };
  }
  return { options, take };
}

/** How much of the text is used. */
const amounts = () =>
  Object.fromEntries(
    ['samples', 'length'].flatMap((name) => {
      const { value } = $(`calibration-${name}`);
      return value === '' ? [] : [[name, Number(value)]];
    }),
  );

/**
 * @param {HTMLSelectElement} select
 * @param {Record<string, { name: string }>} ways
 * @param {string} chosen
 */
function offer(select, ways, chosen) {
  select.replaceChildren(
    ...Object.entries(ways).map(([value, { name }]) =>
      make('option', { value, textContent: name }),
    ),
  );
  select.value = chosen;
}

/** Shows what is chosen, and what types there are for it. */
function show() {
  const { says, types, text = false } = METHODS[method()];
  const kept = [$('type').value, FIRST.type, types[0]].find((type) => types.includes(type));
  offer($('type'), Object.fromEntries(types.map((type) => [type, TYPES[type]])), kept);
  $('type').disabled = types.length === 1;
  $('type-says').textContent = TYPES[kept].says;
  $('method-says').textContent = says;
  $('calibrating').hidden = !text;
}
