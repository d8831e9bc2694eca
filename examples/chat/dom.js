// Small things that all parts use.

/** @param {string} id */
export const $ = (id) => document.getElementById(id);

export const megabytes = (bytes) =>
  bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;

export const number = (value, digits = 3) =>
  value.toLocaleString('en', { maximumSignificantDigits: digits, useGrouping: false });

export const timeText = (seconds) =>
  seconds > 90 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds)} s`;

/** Tells something in a line of status. */
export function say(id, text, failed = false) {
  $(id).textContent = text;
  $(id).classList.toggle('failed', failed);
}

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Fills a table's body: rows of a heading and cells. */
export function fill(body, rows) {
  body.replaceChildren(
    ...rows.map(([name, ...cells]) =>
      make(
        'tr',
        {},
        make('th', { scope: 'row', textContent: name }),
        ...cells.map((textContent) => make('td', { textContent })),
      ),
    ),
  );
}
