// What a measurement found, as a table.

const number = (value, digits = 3) =>
  value.toLocaleString('en', { maximumSignificantDigits: digits, useGrouping: false });

/** Half of the spread in percent of the median, as deviations are told. */
const deviation = (median, spread) => `± ${number(median > 0 ? (spread / median) * 50 : 0, 2)} %`;

const rate = (median, spread) => [`${number(median, 4)} tokens/s`, deviation(median, spread)];

/** How much of the memory's speed is used; a small model is read from faster caches. */
function share(decodeGBps, readGBps) {
  if (decodeGBps > readGBps) return readGBps > 0 ? `memory gives ${number(readGBps)}` : '';
  return `${Math.round((decodeGBps / readGBps) * 100)} % of the memory’s ${number(readGBps)}`;
}

/** Rows of the table: a name, a figure, a remark. */
function rows(result) {
  const { decodeGBps, readGBps } = result;
  return [
    ['Prefill', ...rate(result.prefill, result.prefillSpread)],
    ['Decode', ...rate(result.decode, result.decodeSpread)],
    ['Weights read in decoding', `${number(decodeGBps)} GB/s`, share(decodeGBps, readGBps)],
    ['Products in prefill', `${number(result.prefillGops)} Gop/s`, ''],
    ['Loading', `${number(result.loadSeconds)} s`, ''],
    ['First token', `${number(result.firstTokenSeconds)} s`, ''],
    ['Memory', `${number(result.peakBytes / 2 ** 20)} MB`, ''],
    ['Threads', String(result.threads), ''],
  ];
}

function cell(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

/** Fills a table's body. */
export function showFigures(body, result) {
  body.replaceChildren(
    ...rows(result).map(([name, figure, remark]) => {
      const row = document.createElement('tr');
      const heading = cell('th', name);
      heading.scope = 'row';
      row.append(heading, cell('td', figure), cell('td', remark));
      return row;
    }),
  );
}

/** What the figures were measured on. */
export const origin = ({ isa, cpu, engine, commit }) =>
  `${engine}, ${cpu}, ${isa}${commit === 'unknown' ? '' : `, commit ${commit}`}`;
