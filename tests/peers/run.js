#!/usr/bin/env node
// Measures halfbyte side by side with other programs that run the same models:
//
//   npm run bench:peers -- [options]
//
//   --shape NAME        the model's shape, as `halfbyte synth` takes it (default smollm2-135m)
//   --type NAME         the type of its weights; may be repeated (default q4_0)
//   -m FILE             this model instead of a synthetic one
//   --threads 1,2       how many threads compute (default 1,2)
//   --programs A,B      of native, node, chromium, llama.cpp, wllama2, wllama3, and matmul, which
//                       compares single matrices of a layer with onnxruntime-web (default: all)
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
import { cpus, release, totalmem, type as systemType } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { inspect } from '../../web/index.js';
import { PROGRAMS, chromium, chromiumVersion, halfbyteVersion, output } from './programs.js';
import { compare, digits, median, page } from './table.js';

/** @import { About, Series } from './table.js' */
/** @import { Task } from './protocol.js' */

const root = resolve(import.meta.dirname, '../..');
const native = join(root, 'build/native/halfbyte');

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
  if (!existsSync(native)) throw new UsageError('build halfbyte first: npm run build');
  const pages = programs.filter((name) => PROGRAMS[name].page);
  if (pages.length > 0 && !existsSync(chromium))
    throw new UsageError(
      `${pages.join(', ')} need Chromium, which is not at ${chromium}: say where it is with ` +
        'HB_CHROMIUM, or leave them out with --programs',
    );
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

/** Makes the model of a shape and type. @param {string} shape @param {string} type @param {string} folder */
async function synthesize(shape, type, folder) {
  const file = join(folder, `${basename(shape.replaceAll(',', '-'))}-${type}.gguf`);
  await output([native, 'synth', '--shape', shape, '--type', type, '-o', file]);
  return file;
}

/** What Linux says of the vector instructions that matter here. */
function instructions() {
  const info = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '';
  const flags = new Set(/^(?:flags|Features)\s*:(.*)$/m.exec(info)?.[1].split(' '));
  return ['avx2', 'avx_vnni', 'avx512_vnni', 'amx_int8', 'asimddp', 'i8mm'].filter((flag) =>
    flags.has(flag),
  );
}

function hardware() {
  const processors = cpus();
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  const cpu = [processors[0].model.trim(), ...instructions()].join(' ');
  return `${cpu}, ${processors.length} processors, ${memory}, ${systemType()} ${release()}`;
}

/** @param {string[]} programs */
async function versions(programs) {
  /** @type {Record<string, string>} */
  const all = { halfbyte: await halfbyteVersion() };
  for (const name of programs) Object.assign(all, PROGRAMS[name].versions?.());
  if (programs.some((name) => PROGRAMS[name].page)) all.Chromium = await chromiumVersion();
  return all;
}

/**
 * One visit, whose outcome goes into the series.
 * @param {Series} series @param {Task} task
 */
async function visit(series, task) {
  const name = `${series.model}, ${series.threads} threads, ${series.label}`;
  try {
    const result = await PROGRAMS[series.program].visit(task);
    series.visits.push(result);
    const [prefill, decode] = [result.prefill, result.decode].map((speeds) => digits(median(speeds)));
    console.error(`${name}: prefill ${prefill}, decode ${decode} tokens/s`);
  } catch (error) {
    series.error = /** @type {Error} */ (error).message;
    console.error(`${name}: failed: ${series.error}`);
  }
}

/** @param {string[]} args */
async function main(args) {
  const options = readOptions(args);
  const { shape, types, programs, out, prompt, generate, depth, rounds, passes } = options;
  const settings = { prompt, generate, depth, rounds, passes };
  checkPrograms(programs);
  await install();
  mkdirSync(out, { recursive: true });

  /** @type {Series[]} */
  const all = [];
  /** @type {About} */
  const about = {
    command: ['npm run bench:peers --', ...args].join(' '),
    date: new Date().toISOString().slice(0, 10),
    hardware: hardware(),
    versions: await versions(programs),
    settings,
  };
  const write = () => {
    const series = all.map((each) => compare(each, all));
    writeFileSync(join(out, 'peers.json'), `${JSON.stringify({ ...about, series }, null, 2)}\n`);
    writeFileSync(join(out, 'peers.md'), page(about, all));
  };

  for (const type of options.model ? [''] : types) {
    const model = options.model ?? (await synthesize(shape, type, out));
    const { vocabulary } = await inspect(model);
    /** @type {Series[]} */
    const group = options.threads.flatMap((threads) =>
      programs.map((program) => ({
        model: options.model ? basename(model) : `${shape} ${type}`,
        threads,
        program,
        label: PROGRAMS[program].label,
        visits: [],
      })),
    );
    all.push(...group);
    for (let round = 0; round < rounds; round++) {
      for (const series of group) {
        if (series.error) continue;
        const { threads } = series;
        await visit(series, { ...settings, model: resolve(model), vocabulary, threads });
      }
      write();
    }
    if (!options.model) rmSync(model);
  }
  console.log(readFileSync(join(out, 'peers.md'), 'utf8'));
  console.error(`Written to ${out}/peers.json and peers.md`);
  return all.some(({ error }) => error) ? 1 : 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`bench:peers: ${/** @type {Error} */ (error).message}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
