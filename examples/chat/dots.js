// Dots as SVG: groups of values, each group on a line of its own over a common axis.
import { number } from './dom.js';
import { AXIS, HEAD, axis, node } from './plot.js';

const LABEL = 96; // left of the dots
const RIGHT = 16;
const LINE = 22;

/**
 * @typedef {object} DotPlot
 * @property {string} title
 * @property {string} unit of the values
 * @property {{ name: string, marks: { name: string, value: number }[] }[]} groups
 * @property {number} width in pixels, so that its letters are as large as the page's
 */

/** @param {DotPlot} plot */
export function dots(plot) {
  const { title, unit, groups } = plot;
  const width = Math.max(plot.width, 260);
  const most = Math.max(...groups.flatMap(({ marks }) => marks.map(({ value }) => value)), 1e-9);
  const bottom = HEAD + groups.length * LINE;
  const place = (value) => LABEL + ((width - LABEL - RIGHT) * value) / most;
  const size = `0 0 ${width} ${bottom + AXIS}`;
  const svg = node('svg', { viewBox: size, role: 'img', class: 'plot' });
  svg.append(
    node('title', {}, describe(plot)),
    node('text', { x: 0, y: 14, class: 'plot-title' }, title),
    ...axis(most, unit, place, bottom),
  );
  groups.forEach(({ name, marks }, i) => {
    const y = HEAD + (i + 0.5) * LINE;
    svg.append(node('text', { x: 0, y: y + 4, class: 'plot-name' }, name));
    for (const mark of marks) svg.append(dot(mark, place(mark.value), y, unit));
  });
  return svg;
}

/** A dot that tells what it is to whoever points at it. */
function dot({ name, value }, cx, cy, unit) {
  const element = node('circle', { cx, cy, r: 4.5, class: 'dot' });
  element.append(node('title', {}, `${name}: ${number(value)} ${unit}`));
  return element;
}

/** The same in words, for those who do not see it. @param {DotPlot} plot */
const describe = ({ title, unit, groups }) =>
  `${title} in ${unit}: ` +
  groups
    .map(({ name, marks }) => {
      const values = marks.map(({ value }) => value);
      const [least, most] = [Math.min(...values), Math.max(...values)].map((value) =>
        number(value),
      );
      return least === most ? `${name} ${least}` : `${name} ${least} to ${most}`;
    })
    .join('; ');
