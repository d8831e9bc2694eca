// What quantizing came to: figures, errors, and tensors that became something else than was asked.
import { $, fill, make, megabytes, number, timeText } from './dom.js';
import { dots } from './dots.js';

/** Root of the relative squared error, in percent. */
const percent = ({ error }) => 100 * Math.sqrt(error);
const changed = ({ from, to, error }) => from !== to || error > 0;

export function setUpOutcome() {
  /** What is plotted. */
  let groups = [];
  const draw = () => {
    const width = $('error-plot').clientWidth;
    if (groups.length === 0 || width === 0) return;
    const title = 'Error of each tensor';
    const unit = '% of its root mean square';
    $('error-plot').replaceChildren(dots({ title, unit, groups, width }));
  };
  new ResizeObserver(draw).observe($('error-plot'));

  /**
   * @param {import('../../web/index.js').Quantization} result
   * @param {{ bytes: number }} before
   */
  return (result, before) => {
    const tensors = result.tensors.filter(changed);
    fill($('outcome-rows'), rows(result, before));
    $('outcome-warning').textContent = warning(result);
    $('outcome-warning').hidden = !result.experimental;
    groups = kinds(tensors);
    $('error-plot').replaceChildren();
    draw();
    $('others').replaceChildren(
      ...remarks(result.tensors).map((textContent) => make('li', { textContent })),
    );
    $('others-none').hidden = $('others').children.length > 0;
    fill($('tensors'), tensors.map(tensorRow));
    $('tensors-left').textContent = leftText(result.tensors.length - tensors.length);
  };
}

function rows(result, before) {
  const { bytes, bitsPerWeight, method, calibration, seconds, threads } = result;
  const share = `${number((100 * bytes) / before.bytes)} % of it`;
  const text = calibration && `, on ${calibration.samples} × ${calibration.length} tokens of text`;
  return [
    ['Size before', megabytes(before.bytes)],
    ['Size now', `${megabytes(bytes)}, ${share}`],
    ['Bits a weight', number(bitsPerWeight)],
    ['Method', method + (text ?? '')],
    ['Time', `${timeText(seconds)}, ${threads} thread${threads > 1 ? 's' : ''}`],
  ];
}

const warning = ({ experimental }) =>
  experimental
    ? `${experimental} has fewer than 4 bits a value and is experimental: look at its quality below.`
    : '';

/** All that are quantized are weights. */
const shortName = ({ name }) => name.replace(/\.weight$/, '');

const tensorRow = (tensor) => [
  shortName(tensor),
  `${tensor.from} → ${tensor.to}`,
  `${number((8 * tensor.bytes) / tensor.values)} bits`,
  `${number(percent(tensor))} %`,
];

const leftText = (count) => (count > 0 ? `${count} others stayed as they were.` : '');

/** Tensors that do the same in each layer make a group. */
function kinds(tensors) {
  const groups = new Map();
  for (const tensor of tensors) {
    const name = shortName(tensor).replace(/^blk\.\d+\./, '');
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push({ name: tensor.name, value: percent(tensor) });
  }
  return [...groups].map(([name, marks]) => ({ name, marks }));
}

/** Why tensors have another type than was asked for, and what could not be done to some. */
function remarks(tensors) {
  const named = new Map();
  for (const { name, to, reason, note } of tensors)
    for (const remark of [reason && `became ${to}: ${reason}`, note].filter(Boolean))
      named.set(remark, [...(named.get(remark) ?? []), name]);
  return [...named].map(([remark, names]) => `${namesText(names)}: ${remark}.`);
}

const namesText = (names) =>
  names.length > 3 ? `${names[0]} and ${names.length - 1} more` : names.join(', ');
