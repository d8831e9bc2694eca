// Bars as SVG: groups of bars side by side, with their figures.
const SVG = 'http://www.w3.org/2000/svg';

function node(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

const WIDTH = 640;
const LABEL = 84;
const FIGURE = 70;
const BAR = 16;
const GAP = 10;

/**
 * A plot of horizontal bars.
 * @param {string} title
 * @param {{ name: string, bars: { label: string, value: number }[] }[]} groups
 * @param {(value: number) => string} tell
 */
export function bars(title, groups, tell) {
  const most = Math.max(...groups.flatMap(({ bars }) => bars.map(({ value }) => value)), 1e-9);
  const height = groups.reduce((sum, { bars }) => sum + bars.length * BAR + GAP, 26);
  const svg = node('svg', { viewBox: `0 0 ${WIDTH} ${height}`, role: 'img', class: 'plot' });
  svg.append(
    node('title', {}, describe(title, groups, tell)),
    node('text', { x: 0, y: 14, class: 'plot-title' }, title),
  );
  let y = 26;
  for (const { name, bars } of groups) {
    svg.append(node('text', { x: 0, y: y + BAR - 4 }, name));
    bars.forEach(({ label, value }, i) => {
      const width = ((WIDTH - LABEL - FIGURE - 8) * value) / most;
      svg.append(
        node('rect', {
          x: LABEL,
          y: y + 1,
          width: Math.max(width, 1),
          height: BAR - 3,
          rx: 3,
          class: `bar bar-${i}`,
        }),
        node(
          'text',
          { x: LABEL + width + 6, y: y + BAR - 4 },
          `${tell(value)}${label ? `, ${label}` : ''}`,
        ),
      );
      y += BAR;
    });
    y += GAP;
  }
  return svg;
}

/** The same in words, for those who do not see it. */
const describe = (title, groups, tell) =>
  `${title}: ${groups.map(({ name, bars }) => `${name} ${bars.map(({ label, value }) => `${tell(value)} ${label}`).join(', ')}`).join('; ')}`;
