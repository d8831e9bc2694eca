// The programs that are compared, and how each is visited: in a process or a browser of its own
// that ends with the visit, so that none is slowed by what another left behind.
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { BROWSERS, start } from '../browser/support.js';
import { serve } from './server.js';

/** @import { Task, Visit } from './protocol.js' */

/**
 * @typedef {object} Program
 * @property {string} label in the tables
 * @property {boolean} [page] needs Chromium
 * @property {(task: Task) => Promise<Visit>} visit
 * @property {() => string} [version] its name and version, or those of what it runs on
 */

const root = resolve(import.meta.dirname, '../..');
/** The native command line. */
export const native = resolve(process.env.HB_NATIVE ?? join(root, 'build/native/halfbyte'));

const LIMIT_MS = 20 * 60_000; // a visit that takes longer hangs

const run = promisify(execFile);

/** The version of an installed package. @param {string} folder @param {string} name */
function packageVersion(folder, name) {
  const file = join(folder, 'node_modules', name, 'package.json');
  return JSON.parse(readFileSync(file, 'utf8')).version;
}
/** @param {string} name */
const peerVersion = (name) => packageVersion(import.meta.dirname, name);

/** Node of the lock file; what runs this may be an older one. */
function nodePath() {
  const path = join(root, 'node_modules/node/bin/node');
  return existsSync(path) ? path : process.execPath;
}

/**
 * The standard output of a program, or an error with its own words.
 * @param {string[]} command
 * @param {string} cwd
 */
export async function output([file, ...args], cwd = root) {
  try {
    const { stdout } = await run(file, args, {
      cwd,
      timeout: LIMIT_MS,
      killSignal: 'SIGKILL',
      maxBuffer: 2 ** 26,
    });
    return stdout;
  } catch (error) {
    const { stderr = '', killed, message } = /** @type {any} */ (error);
    if (killed) throw new Error(`no answer after ${LIMIT_MS / 60_000} minutes`);
    const reason = /^\w*Error: .*/m.exec(stderr) ?? /\S.*/.exec(stderr);
    throw new Error(reason?.[0] ?? message);
  }
}

/** halfbyte on a command line. @param {() => string[]} command */
function commandLine(command) {
  return async (/** @type {Task} */ task) => {
    const { model, threads, prompt, generate, depth, passes } = task;
    const counts = ['-t', threads, '-p', prompt, '-n', generate, '-r', passes];
    if (depth) counts.push('--depth', depth);
    const options = ['-m', model, ...counts.map(String), '--json'];
    const [report] = JSON.parse(await output([...command(), 'bench', ...options]));
    return {
      prefill: [report.prefill],
      decode: [report.decode],
      details: report.isa,
      raw: report,
    };
  };
}

/**
 * A page that holds nothing but the module tests/peers/pages/NAME.js.
 * @param {string} name
 */
function page(name) {
  return (/** @type {Task} */ task) =>
    inPage(`/tests/pages/${name}.js`, { ...task, model: '/model.gguf' }, task.model);
}

const [{ path: chromium, options }] = BROWSERS;
export { chromium };

function startChromium() {
  return start({ path: chromium, options: { ...options, protocolTimeout: LIMIT_MS } });
}

export async function chromiumVersion() {
  const browser = await startChromium();
  const version = await browser.version();
  await browser.close();
  return version.replace(/^.*\//, '');
}

/**
 * Calls a module's default function in a fresh Chromium.
 * @param {string} module
 * @param {unknown} argument
 * @param {string} [model]
 */
export async function inPage(module, argument, model) {
  const server = await serve({ model });
  const browser = await startChromium();
  /** @type {string[]} */
  const said = [];
  try {
    const tab = await browser.newPage();
    tab.on('console', (line) => line.type() === 'error' && said.push(line.text()));
    await tab.goto(server.url);
    const crash = new Promise((_, reject) => tab.once('error', reject));
    const answer = tab.evaluate(
      async (/** @type {string} */ path, /** @type {unknown} */ given) =>
        (await import(path)).default(given),
      module,
      argument,
    );
    return await Promise.race([answer, crash]);
  } catch (error) {
    const { message } = /** @type {Error} */ (error);
    throw new Error([message.split('\n')[0], ...said.slice(-2)].join('; '));
  } finally {
    await browser.close();
    server.close();
  }
}

/** @type {Record<string, Program>} */
export const PROGRAMS = {
  native: {
    label: 'halfbyte, native',
    visit: commandLine(() => [native]),
  },
  node: {
    label: 'halfbyte, Node',
    visit: commandLine(() => [nodePath(), 'web/cli.js']),
    version: () => `Node ${packageVersion(root, 'node')}`,
  },
  chromium: {
    label: 'halfbyte, Chromium',
    page: true,
    visit: page('halfbyte'),
  },
  'llama.cpp': {
    label: 'llama.cpp, native',
    visit: async (task) => {
      const script = join(import.meta.dirname, 'llama.js');
      return JSON.parse(await output([nodePath(), script, JSON.stringify(task)]));
    },
    version: () => `node-llama-cpp ${peerVersion('node-llama-cpp')}`,
  },
  wllama2: {
    label: 'wllama 2, Chromium',
    page: true,
    visit: page('wllama2'),
    version: () => `wllama ${peerVersion('wllama-2')}`,
  },
  wllama3: {
    label: 'wllama 3, Chromium',
    page: true,
    visit: page('wllama3'),
    version: () => `wllama ${peerVersion('wllama-3')}`,
  },  ort: {
    label: 'onnxruntime-web, Chromium',
    page: true,
    visit: () => Promise.reject(new Error('it runs no whole model')),
    version: () => `onnxruntime-web ${peerVersion('onnxruntime-web')}`,
  },
};
