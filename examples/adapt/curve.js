// A curve of losses as SVG, over steps.
import { number } from '../chat/dom.js';
import { node } from '../chat/plot.js';

const LEFT = 44;
const RIGHT = 10;
const TOP = 30;
const BOTTOM = 44;
const HEIGHT = 240;
const LEAST_WIDTH = 260;
const WINDOW = 5; // steps of the mean

/**
 * @typedef {object} Curve
 * @property {number[]} losses
 * @property {number} steps of the whole run
 * @property {number} width in pixels, so that its letters are as large as the page's
 */

/** The mean of each value and those before it. @param {number[]} values */
export const smooth = (values) =>
  values.map((_, i) => {
    const some = values.slice(Math.max(0, i + 1 - WINDOW), i + 1);
    return some.reduce((sum, value) => sum + value) / some.length;
  });

/** Round numbers from `least` to `most`. */
function ticks(least, most, count) {
  const rough = Math.max((most - least) / count, 1e-9);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const first = Math.ceil(least / step - 1e-9);
  const last = Math.floor(most / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

/** @param {Curve} curve */
export function drawCurve({ losses, steps, width }) {
  width = Math.max(width, LEAST_WIDTH);
  const narrow = width < 420;
  const most = Math.max(1, ...losses) * 1.05;
  const x = (step) => LEFT + ((width - LEFT - RIGHT) * step) / steps;
  const y = (loss) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - loss / most);
  const svg = node('svg', { viewBox: `0 0 ${width} ${HEIGHT}`, role: 'img', class: 'plot' });
  svg.append(
    node('title', {}, describe(losses, steps)),
    node(
      'text',
      { x: 0, y: 14, class: 'plot-title' },
      narrow ? 'Loss (nats)' : 'Loss (nats a token)',
    ),
    ...legend(width),
    ...rows(ticks(0, most, 5), y, width),
    ...columns(ticks(0, steps, narrow ? 4 : 8).filter(Number.isInteger), x),
    node('text', { x: x(steps / 2), y: HEIGHT - 6, class: 'tick' }, 'step'),
  );
  if (losses.length > 0) svg.append(line(losses, x, y, 'each'), line(smooth(losses), x, y, 'mean'));
  if (losses.length === 1) svg.append(node('circle', dot(losses, x, y)));
  return svg;
}

const dot = ([loss], x, y) => ({ cx: x(1), cy: y(loss), r: 2.5, class: 'dot' });

function line(values, x, y, name) {
  const points = values.map((value, i) => `${x(i + 1).toFixed(1)},${y(value).toFixed(1)}`);
  return node('polyline', { points: points.join(' '), class: `curve ${name}` });
}

const rows = (values, y, width) =>
  values.flatMap((value) => [
    node('line', { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), class: 'grid' }),
    node('text', { x: LEFT - 8, y: y(value) + 4, class: 'tick row-tick' }, number(value)),
  ]);

const columns = (values, x) =>
  values.map((value) =>
    node('text', { x: x(value), y: HEIGHT - BOTTOM + 18, class: 'tick' }, number(value)),
  );

const legend = (width) =>
  [
    ['each', 'each step', 178],
    ['mean', `mean of ${WINDOW}`, 86],
  ].flatMap(([name, label, from]) => [
    node('line', {
      x1: width - from,
      x2: width - from + 14,
      y1: 10,
      y2: 10,
      class: `curve ${name}`,
    }),
    node('text', { x: width - from + 19, y: 14, class: 'legend' }, label),
  ]);

/** The same in words, for those who do not see it. */
function describe(losses, steps) {
  if (losses.length === 0) return `The loss over ${steps} steps, none of which is done`;
  const now = smooth(losses).at(-1);
  return `The loss over ${losses.length} of ${steps} steps: from ${number(losses[0])} to ${number(now)}`;
}
