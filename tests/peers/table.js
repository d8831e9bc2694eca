// Turns measurements into what is kept of them: medians, ratios between programs of the same run,
// and a Markdown page.

/** @import { Task, Visit } from './protocol.js' */

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
 * @typedef {Pick<Task, 'prompt' | 'generate' | 'depth' | 'passes'> & { rounds: number }} Settings
 */

/**
 * @typedef {object} About
 * @property {string} command
 * @property {string} date
 * @property {string} hardware
 * @property {string[]} versions of all that took part
 * @property {Settings} settings
 */

/** Those that the others are compared with: the name of the program, and of the column. */
export const BASES = /** @type {const} */ ([
  ['llama.cpp', 'of llama.cpp'],
  ['wllama2', 'of wllama 2'],
  ['ort', 'of onnxruntime'],
]);

const BUSY = 0.1; // processors in use by others, from which on numbers are not to be trusted

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

/** @typedef {ReturnType<typeof compare>} Compared */

/**
 * @param {Compared} series
 * @param {readonly (readonly [string, string])[]} bases
 * @returns {string[]}
 */
function row({ label, error, prefill, decode, ratios }, bases) {
  if (!prefill || !decode) return [label, `failed: ${error ?? 'not measured'}`];
  /** @param {'prefill' | 'decode'} what @param {Summary} summary */
  const part = (what, summary) => [
    digits(summary.median),
    spread(summary),
    ...bases.map(([name]) => (ratios[name] ? digits(ratios[name][what]) : '-')),
  ];
  return [label, ...part('prefill', prefill), ...part('decode', decode)];
}

/** @param {About} about */
function heading({ command, date, hardware, versions, settings }) {
  const { prompt, generate, depth, rounds, passes } = settings;
  return [
    '# halfbyte and its peers, side by side',
    '',
    `    ${command}`,
    '',
    `${date}. ${hardware}. ${versions.join(', ')}.`,
    '',
    `Prefill: tokens/s of a prompt of ${prompt} tokens; decode: of ${generate} tokens one by one` +
      `${depth ? `; both after ${depth} positions` : ''}. Rounds: ${rounds}, in which each` +
      ' program runs in turn, alone and freshly started, warms up and measures, up to' +
      ` ${passes} times: medians, the spread of the rounds, and ratios of the medians.`,
  ];
}

/** A model with one number of threads. @param {readonly Series[]} group */
function section(group) {
  const [{ model, threads }] = group;
  const bases = BASES.filter(([name]) => group.some(({ program }) => program === name));
  const ratios = bases.map(([, column]) => column);
  const head = ['program', 'prefill', 'spread', ...ratios, 'decode', 'spread', ...ratios];
  const rows = group.map((series) => row(compare(series, group), bases));
  const kinds = group.flatMap(({ label, visits }) => {
    const details = visits.at(-1)?.details;
    return details ? [`${label}: ${details}`] : [];
  });
  return [
    '',
    `## ${model}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    '',
    markdownTable(head, rows),
    ...(kinds.length > 0 ? ['', `What ran: ${kinds.join('; ')}.`] : []),
  ];
}

/** What to say when others used the machine. @param {readonly Series[]} all */
function warning(all) {
  const busy = all.flatMap(({ visits }) => visits.map((visit) => visit.busy ?? 0));
  if (busy.length === 0 || median(busy) < BUSY) return [];
  const most = [median(busy), Math.max(...busy)].map(digits).join(', at most ');
  const whom = 'which slows programs whose threads wait spinning more than others';
  return ['', `**Not to be quoted:** others kept ${most} processors busy, ${whom}.`];
}

/** The Markdown page. @param {About} about @param {readonly Series[]} all */
export function page(about, all) {
  /** @type {Map<string, Series[]>} */
  const groups = new Map();
  for (const series of all) {
    const key = `${series.model} ${series.threads}`;
    groups.set(key, [...(groups.get(key) ?? []), series]);
  }
  const sections = [...groups.values()].flatMap(section);
  return [...heading(about), ...warning(all), ...sections, ''].join('\n');
}
