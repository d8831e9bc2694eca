// Bars as SVG: groups of bars side by side over an axis, with their figures.
import { number } from './dom.js';

const SVG = 'http://www.w3.org/2000/svg';

export function node(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

const LABEL = 50; // left of the bars
const FIGURE = 56; // right of the longest
const BAR = 17;
const GAP = 9;
export const HEAD = 28; // above what is drawn
const LEGEND = 100; // for each entry
export const AXIS = 42; // below it

/**
 * @typedef {object} Plot
 * @property {string} title
 * @property {string} unit of the values
 * @property {string[]} labels of the bars in each group
 * @property {{ name: string, values: number[] }[]} groups
 * @property {number} width in pixels, so that its letters are as large as the page's
 */

/** A plot of horizontal bars. @param {Plot} plot */
export function bars(plot) {
  const { title, unit, labels, groups } = plot;
  const width = Math.max(plot.width, 260);
  const most = Math.max(...groups.flatMap(({ values }) => values), 1e-9);
  const bottom = HEAD + groups.length * (labels.length * BAR + GAP);
  const height = bottom + AXIS;
  const place = (value) => LABEL + ((width - LABEL - FIGURE) * value) / most;
  const svg = node('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', class: 'plot' });
  svg.append(
    node('title', {}, describe(plot)),
    node('text', { x: 0, y: 14, class: 'plot-title' }, title),
    ...legend(labels, width),
    ...axis(most, unit, place, bottom),
  );
  groups.forEach(({ name, values }, group) => {
    const top = HEAD + group * (labels.length * BAR + GAP);
    const middle = top + (labels.length * BAR) / 2 + 4;
    svg.append(node('text', { x: 0, y: middle, class: 'plot-name' }, name));
    values.forEach((value, i) => svg.append(...bar(value, i, place, top + i * BAR)));
  });
  return svg;
}

/** Round numbers from 0 to `most`. */
function ticksTo(most) {
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * 0.999);
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
}

/** Lines and figures of an axis below what is drawn. */
export function axis(most, unit, place, bottom) {
  const lines = ticksTo(most).flatMap((value) => [
    node('line', { x1: place(value), x2: place(value), y1: HEAD - 4, y2: bottom, class: 'grid' }),
    node('text', { x: place(value), y: bottom + 15, class: 'tick' }, number(value)),
  ]);
  const middle = (place(0) + place(most)) / 2;
  return [...lines, node('text', { x: middle, y: bottom + 33, class: 'tick unit' }, unit)];
}

/** What the colours stand for, unless there is one only. */
function legend(labels, width) {
  if (labels.length < 2) return [];
  return labels.flatMap((label, i) => {
    const x = width - (labels.length - i) * LEGEND;
    return [
      node('rect', { x, y: 4, width: 11, height: 11, rx: 3, class: `bar-${i}` }),
      node('text', { x: x + 17, y: 14, class: 'legend' }, label),
    ];
  });
}

function bar(value, i, place, y) {
  const length = Math.max(place(value) - place(0), 1);
  const rect = { x: LABEL, y: y + 1, width: length, height: BAR - 3, rx: 3, class: `bar bar-${i}` };
  return [
    node('rect', rect),
    node('text', { x: LABEL + length + 6, y: y + BAR - 4, class: 'figure' }, number(value)),
  ];
}

/** The same in words, for those who do not see it. @param {Plot} plot */
const describe = ({ title, unit, labels, groups }) =>
  `${title} in ${unit}: ` +
  groups
    .map(({ name, values }) => {
      const figures = values.map((value, i) => `${number(value)} with ${labels[i]}`);
      return `${name} ${figures.join(', ')}`;
    })
    .join('; ');
