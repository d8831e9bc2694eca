#!/usr/bin/env node
// Measures halfbyte side by side with other programs that run the same models:
//
//   npm run bench:peers -- [options]
//
//   --shape NAME        the model's shape, as `halfbyte synth` takes it (default smollm2-135m)
//   --type NAME         the type of its weights; may be repeated (default q4_0)
//   -m FILE             this model instead of a synthetic one
//   --threads 1,2       how many threads compute (default 1,2)
//   --programs A,B      of native, node, chromium, llama.cpp, wllama2, wllama3, and ort: one layer
//                       in halfbyte against its matrices in onnxruntime-web (default: all)
//   -p N, -n N          tokens of the prompt (128), tokens to decode (32)
//   --depth N           positions in the cache before the prompt (0)
//   -r N                rounds (5); --passes N: repetitions in each (3)
//   --out DIR           where peers.json and peers.md go (default build/peers)
//
// A round visits every program once, one after the other, so that a machine that slows down slows
// all of them; what is compared are medians of one run. Each visit is a process or a browser of its
// own, which loads the same file, warms up, and measures when all is loaded. The peers run as they
// come from npm, at the lowest level that each one offers. They are installed by this command
// alone, into tests/peers/node_modules. A program that fails is listed with its error, and the
// command then ends with 1. Measure on an idle machine: the peers' threads wait spinning.
import {
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { inspect } from '../../web/index.js';
import { busyProcessors, hardware, versions } from './about.js';
import { layerOf, speedOfLayer, speedOfProducts } from './layer.js';
import { PROGRAMS, chromium, inPage, native, output } from './programs.js';
import { compare, digits, median, page } from './table.js';

/** @import { About, Series } from './table.js' */
/** @import { Layer } from './layer.js' */
/** @import { Task, Visit } from './protocol.js' */

/** @typedef {{ label: string, visit: (task: Task) => Promise<Visit> }} Visited */
/** @typedef {ReturnType<typeof readOptions>} Options */

const root = resolve(import.meta.dirname, '../..');

/** What cannot be run as it was asked for. */
class UsageError extends Error {}

/** @param {string} name @param {string} value @param {number} least */
function whole(name, value, least) {
  if (!/^\d{1,7}$/.test(value) || Number(value) < least)
    throw new UsageError(`${name} takes a whole number from ${least} on, not ${value}`);
  return Number(value);
}

/** @param {string[]} args */
function readOptions(args) {
  /** @param {string} value @param {string} [short] */
  const text = (value, short) => ({
    type: /** @type {const} */ ('string'),
    default: value,
    ...(short && { short }),
  });
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        shape: text('smollm2-135m'),
        type: { type: 'string', multiple: true, default: ['q4_0'] },
        model: { type: 'string', short: 'm' },
        threads: text('1,2'),
        programs: text(Object.keys(PROGRAMS).join()),
        prompt: text('128', 'p'),
        generate: text('32', 'n'),
        depth: text('0'),
        rounds: text('5', 'r'),
        passes: text('3'),
        out: text(join(root, 'build/peers')),
      },
    }));
  } catch (error) {
    throw new UsageError(/** @type {Error} */ (error).message);
  }
  const programs = values.programs.split(',');
  for (const name of programs)
    if (!Object.hasOwn(PROGRAMS, name))
      throw new UsageError(`no program ${name}; there are ${Object.keys(PROGRAMS).join(', ')}`);
  return {
    shape: values.shape,
    types: values.type,
    model: values.model,
    threads: values.threads.split(',').map((count) => whole('--threads', count, 1)),
    programs,
    prompt: whole('-p', values.prompt, 1),
    generate: whole('-n', values.generate, 1),
    depth: whole('--depth', values.depth, 0),
    rounds: whole('-r', values.rounds, 1),
    passes: whole('--passes', values.passes, 1),
    out: resolve(values.out),
  };
}

/** Refuses before anything is installed or measured. @param {string[]} programs */
function checkPrograms(programs) {
  const pages = programs.filter((name) => PROGRAMS[name].page);
  if (pages.length > 0 && !existsSync(chromium))
    throw new UsageError(
      `${pages.join(', ')} need Chromium, which is not at ${chromium}: say where it is with ` +
        'HB_CHROMIUM, or leave them out with --programs',
    );
  if (!existsSync(native)) throw new UsageError('build halfbyte first: npm run build');
}

/** Installs the peers, unless what the lock file says is there. */
async function install() {
  const done = join(import.meta.dirname, 'node_modules/.package-lock.json');
  const lock = join(import.meta.dirname, 'package-lock.json');
  if (existsSync(done) && statSync(done).mtimeMs >= statSync(lock).mtimeMs) return;
  console.error('Installing the peers (about 1 GB)');
  // Not `npm ci`: the lock file lacks the binaries for systems other than Linux.
  const command = ['npm', 'install', '--no-save', '--ignore-scripts', '--loglevel=error'];
  await output(command, import.meta.dirname);
  const now = new Date();
  utimesSync(done, now, now);
}

/**
 * Makes the model of a shape and type.
 * @param {string} shape
 * @param {string} type
 * @param {string} folder
 */
async function synthesize(shape, type, folder) {
  const file = join(folder, `${basename(shape.replaceAll(',', '-'))}-${type}.gguf`);
  await output([native, 'synth', '--shape', shape, '--type', type, '-o', file]);
  return file;
}

/**
 * The series of a model, or of a part of it.
 * @param {string} model
 * @param {Options} options
 * @param {Record<string, Visited>} visited
 */
function seriesOf(model, { threads }, visited) {
  return threads.flatMap((count) =>
    Object.entries(visited).map(([program, { label }]) => {
      /** @type {Series} */
      const series = { model, threads: count, program, label, visits: [] };
      return series;
    }),
  );
}

/**
 * One visit, whose outcome goes into the series.
 * @param {Series} series
 * @param {Visited} visited
 * @param {Task} task
 */
async function visitOnce(series, { visit }, task) {
  const name = `${series.model}, -t ${series.threads}, ${series.label}`;
  try {
    const busy = await busyProcessors();
    const result = { ...(await visit(task)), busy };
    series.visits.push(result);
    const [prefill, decode] = [result.prefill, result.decode].map((all) => digits(median(all)));
    console.error(`${name}: prefill ${prefill}, decode ${decode} tokens/s`);
  } catch (error) {
    series.error = /** @type {Error} */ (error).message;
    console.error(`${name}: failed: ${series.error}`);
  }
}

/** The programs that run whole models. @param {string[]} programs */
function wholeModels(programs) {
  const able = programs.filter((name) => name !== 'ort');
  return Object.fromEntries(able.map((name) => [name, PROGRAMS[name]]));
}

/** Those that run one layer. @param {Layer} layer @returns {Record<string, Visited>} */
const oneLayer = (layer) => ({
  layer: {
    label: PROGRAMS.chromium.label,
    visit: async (task) => speedOfLayer(await PROGRAMS.chromium.visit(task), layer),
  },
  ort: {
    label: PROGRAMS.ort.label,
    visit: async (task) =>
      speedOfProducts(
        await inPage('/tests/pages/ort.js', { ...task, matrices: layer.matrices }),
        layer,
        task,
      ),
  },
});

/** @param {string[]} args */
async function main(args) {
  const options = readOptions(args);
  const { shape, types, programs, out, prompt, generate, depth, rounds, passes } = options;
  const settings = { prompt, generate, depth, rounds, passes };
  checkPrograms(programs);
  await install();
  mkdirSync(out, { recursive: true });

  /** @type {About} */
  const about = {
    command: ['npm run bench:peers --', ...args].join(' '),
    date: new Date().toISOString().slice(0, 10),
    hardware: hardware(),
    versions: await versions(programs),
    settings,
  };
  /** @type {Series[]} */
  const all = [];
  const write = () => {
    const series = all.map((each) => compare(each, all));
    writeFileSync(join(out, 'peers.json'), `${JSON.stringify({ ...about, series }, null, 2)}\n`);
    writeFileSync(join(out, 'peers.md'), page(about, all));
  };
  /**
   * @param {string} title
   * @param {Record<string, Visited>} visited
   * @param {string} file
   * @param {number} vocabulary
   */
  const measure = async (title, visited, file, vocabulary) => {
    const group = seriesOf(title, options, visited);
    all.push(...group);
    for (let round = 0; round < rounds; round++) {
      for (const series of group) {
        if (series.error) continue;
        const task = { ...settings, model: resolve(file), vocabulary, threads: series.threads };
        await visitOnce(series, visited[series.program], task);
      }
      write();
    }
  };

  /** @type {Layer | undefined} */
  let layer;
  for (const type of options.model ? [''] : types) {
    const file = options.model ?? (await synthesize(shape, type, out));
    const title = options.model ? basename(file) : `${shape} ${type}`;
    const model = await inspect(file);
    layer ??= layerOf(model);
    await measure(title, wholeModels(programs), file, model.vocabulary);
    if (!options.model) rmSync(file);
  }
  if (layer && programs.includes('ort')) {
    const file = await synthesize(layer.shape, 'q4_0', out);
    const name = options.model ? basename(options.model) : shape;
    await measure(`one layer of ${name}, 4 bits`, oneLayer(layer), file, layer.vocabulary);
    rmSync(file);
  }
  console.log(readFileSync(join(out, 'peers.md'), 'utf8'));
  console.error(`Written to ${join(out, 'peers.json')} and peers.md`);
  return all.some(({ error }) => error) ? 1 : 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`bench:peers: ${/** @type {Error} */ (error).message}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
