// Turns measurements into what is kept of them: medians, ratios between programs of the same run,
// and a Markdown page.

/** @import { Visit } from './protocol.js' */

/**
 * All visits to a program for one model and number of threads.
 * @typedef {object} Series
 * @property {string} model what was measured, as "smollm2-135m q4_0"
 * @property {number} threads
 * @property {string} program
 * @property {string} label
 * @property {Visit[]} visits
 * @property {string} [error] why there are no more
 */

/** @typedef {{ median: number, least: number, most: number }} Summary */

/**
 * @typedef {object} About
 * @property {string} command
 * @property {string} date
 * @property {string} hardware
 * @property {Record<string, string>} versions
 * @property {{ prompt: number, generate: number, depth: number, rounds: number, passes: number }} settings
 */

/** Those that the others are compared with: the name of the program, and of the column. */
export const BASES = /** @type {const} */ ([
  ['llama.cpp', 'of llama.cpp'],
  ['wllama2', 'of wllama 2'],
]);

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** @param {readonly number[]} values @returns {Summary} */
export const summarize = (values) => ({
  median: median(values),
  least: Math.min(...values),
  most: Math.max(...values),
});

/**
 * A series with its medians (of the visits' medians) and its ratios to the bases.
 * @param {Series} series
 * @param {readonly Series[]} all
 */
export function compare(series, all) {
  /** @param {Series} of @param {'prefill' | 'decode'} what */
  const summary = (of, what) =>
    of.error || of.visits.length === 0
      ? undefined
      : summarize(of.visits.map((visit) => median(visit[what])));
  /** @type {Record<string, { prefill: number, decode: number }>} */
  const ratios = {};
  const prefill = summary(series, 'prefill');
  const decode = summary(series, 'decode');
  for (const [name] of BASES) {
    const base = all.find(
      ({ program, model, threads }) =>
        program === name && model === series.model && threads === series.threads,
    );
    const basePrefill = base && summary(base, 'prefill');
    const baseDecode = base && summary(base, 'decode');
    if (prefill && decode && basePrefill && baseDecode)
      ratios[name] = {
        prefill: prefill.median / basePrefill.median,
        decode: decode.median / baseDecode.median,
      };
  }
  return { ...series, prefill, decode, ratios };
}

/** Three digits that count. @param {number} value */
export function digits(value) {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** @param {Summary} summary */
const spread = ({ least, most }) => `${digits(least)} to ${digits(most)}`;

/** @param {string} text */
const cell = (text) => text.replace(/\s+/g, ' ').replaceAll('|', '\\|').trim();

/** @param {string[]} head @param {string[][]} rows */
export function markdownTable(head, rows) {
  const rule = head.map((_, column) => (column === 0 ? '---' : '--:'));
  return [head, rule, ...rows].map((row) => `| ${row.map(cell).join(' | ')} |`).join('\n');
}

/** @param {Series} series @param {readonly Series[]} all @returns {string[]} */
function row(series, all) {
  const { label, error, prefill, decode, ratios } = compare(series, all);
  if (!prefill || !decode) return [label, `failed: ${error ?? 'not measured'}`];
  /** @param {'prefill' | 'decode'} what */
  const part = (what) => [
    ...BASES.map(([name]) => (ratios[name] ? digits(ratios[name][what]) : '-')),
  ];
  return [
    label,
    digits(prefill.median),
    spread(prefill),
    ...part('prefill'),
    digits(decode.median),
    spread(decode),
    ...part('decode'),
  ];
}

/** @param {About} about */
function heading({ command, date, hardware, versions, settings }) {
  const { prompt, generate, depth, rounds, passes } = settings;
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    '# halfbyte and its peers, side by side',
    '',
    `    ${command}`,
    '',
    `${date}. ${hardware}. ${named.join(', ')}.`,
    '',
    `Prefill: tokens/s of a prompt of ${prompt} tokens; decode: of ${generate} tokens one by one` +
      `${depth ? `; both after ${depth} positions` : ''}. Each program ran ${rounds} times, in turns,` +
      ` alone and freshly started, with a warm-up and ${passes} repetitions each time: medians, the` +
      ' spread of the runs, and ratios of the medians.',
  ];
}

/**
 * The Markdown page.
 * @param {About} about
 * @param {readonly Series[]} all
 * @param {string} [more] further tables
 */
export function page(about, all, more = '') {
  const ratios = BASES.map(([, column]) => column);
  const head = ['program', 'prefill', 'spread', ...ratios, 'decode', 'spread', ...ratios];
  const lines = heading(about);
  const groups = new Map(all.map(({ model, threads }) => [`${model} ${threads}`, { model, threads }]));
  for (const { model, threads } of groups.values()) {
    const group = all.filter((series) => series.model === model && series.threads === threads);
    const what = group.flatMap(({ label, visits }) => {
      const details = visits.at(-1)?.details;
      return details ? [`${label}: ${details}`] : [];
    });
    lines.push(
      '',
      `## ${model}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
      '',
      markdownTable(head, group.map((series) => row(series, all))),
      '',
      `Ran as: ${what.join('; ')}.`,
    );
  }
  return `${lines.join('\n')}\n${more && `\n${more}`}`;
}
