#!/usr/bin/env node
// Runs the test suites:
//
//   node tests/run.js [--full] [--show] [SUITE...]   the suites named, or all of them
//   node tests/run.js --build NAME...                only sets up and builds
//
// Installs what they need (native/setup.sh), builds it, runs them in order and prints one summary,
// whose last line is "N passed, N failed, N skipped". --full adds what is too long for every
// change; --show prints the output of suites that pass too. Plain Node without packages, because it
// is what installs them.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { countCtest, countClosingLine, countTap } from './count.js';

const root = resolve(import.meta.dirname, '..');
const localBin = join(root, 'node_modules', '.bin');
const minutes = 60_000;
const processors = String(availableParallelism());

/** What can be built: the groups of native/setup.sh it needs, and the commands. */
const preset = (name, groups, target = 'all') => ({
  groups: ['native', ...groups],
  commands: [
    ['cmake', '--preset', name],
    ['cmake', '--build', join('build', name), '--target', target, '-j', processors],
  ],
});
const builds = {
  native: preset('native', ['unit']),
  gcc: preset('gcc', ['unit', 'gcc'], 'halfbyte-cli'),
  asan: preset('asan', ['unit', 'sanitizers']),
  aarch64: preset('aarch64', ['aarch64']),
  wasm: preset('wasm', ['wasm']),
  emscripten: preset('emscripten', ['emscripten']),
  types: {
    groups: ['npm'],
    // What is left of a source that is gone would be packed.
    commands: [['rm', '-rf', 'build/types'], ['tsc', '-p', 'web']],
  },
  docs: {
    groups: ['npm', 'package'],
    commands: [['tests/package/node_modules/.bin/typedoc', '--options', 'tests/package/docs/typedoc.json']],
  },
};

const ctest = (build) => ({
  command: ['ctest', '--test-dir', join('build', build), '-V', '--no-tests=error', '-j', processors],
  env: { CMOCKA_MESSAGE_OUTPUT: 'TAP' },
  count: countCtest,
});
/** The files *.test.js of a folder, but for some, by node:test with these flags, as many files at once
 * as there are processors. */
const nodeTests = (folder, { except = [], flags = [] } = {}) => ({
  command: [
    ...['node', '--test', '--test-reporter=tap', `--test-concurrency=${processors}`, ...flags],
    ...testFiles(folder).filter((path) => !except.some((name) => path.endsWith(name))),
  ],
  count: countTap,
});

/**
 * The suites in the order of `npm test`: cheap and telling ones first.
 * `full`: only with --full. `node`: runs on the system's Node of that version, not on that of the
 * lock file. `limit`: milliseconds after which it has failed.
 */
const suites = [
  { name: 'check', groups: ['check'], builds: ['native', 'types'], ...nodeTests('check') },
  { name: 'unit', builds: ['native'], ...ctest('native') },
  { name: 'asan', builds: ['asan'], ...ctest('asan') },
  { name: 'aarch64', builds: ['aarch64'], ...ctest('aarch64') },
  { name: 'fuzz', builds: ['asan'], limit: 60 * minutes, ...nodeTests('fuzz') },
  { name: 'cli', builds: ['native'], ...nodeTests('cli') },
  { name: 'js', groups: ['npm'], builds: [], ...nodeTests('js') },
  { name: 'node', groups: ['npm'], builds: ['native', 'wasm'], ...nodeTests('node') },
  {
    name: 'node20',
    builds: ['native', 'wasm'],
    node: 20,
    // Left out is what takes long and does not depend on Node's version.
    ...nodeTests('node', {
      except: ['download', 'measures', 'openai', 'plan', 'progress', 'server', 'shards', 'sources', 'state'].map(
        (name) => `/${name}.test.js`,
      ),
    }),
  },
  {
    name: 'browser',
    groups: ['npm', 'browser'],
    builds: ['native', 'wasm'],
    // One process, so that all share the browsers: starting those is half of the work.
    ...nodeTests('browser', { flags: ['--test-isolation=none'] }),
  },
  { name: 'emscripten', builds: ['native', 'emscripten'], ...nodeTests('emscripten') },
  { name: 'install', groups: ['gcc', 'install'], builds: ['native'], ...nodeTests('install') },
  {
    name: 'package',
    groups: ['npm', 'browser', 'webkit', 'package'],
    builds: ['wasm', 'types'],
    // In one process, so that the package is packed and installed once.
    ...nodeTests('package', { flags: ['--test-isolation=none'] }),
  },
  {
    name: 'parity',
    groups: ['npm'],
    builds: ['native', 'gcc', 'aarch64', 'wasm'],
    command: ['node', 'tests/parity/parity.js'],
    count: countClosingLine,
  },
  {
    name: 'soak',
    full: true,
    groups: ['npm'],
    builds: ['native', 'asan', 'wasm'],
    limit: 60 * minutes,
    ...nodeTests('soak'),
  },
];

function testFiles(folder) {
  try {
    return readdirSync(join(root, 'tests', folder))
      .filter((name) => name.endsWith('.test.js'))
      .sort()
      .map((name) => join('tests', folder, name));
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
}

/** Runs a command in the root; resolves to its output, and the reason why it failed or null. */
function execute(command, { env = {}, limit = 20 * minutes, show = false } = {}) {
  return new Promise((done) => {
    const child = spawn(command[0], command.slice(1), {
      cwd: root,
      env: { ...process.env, PATH: localBin + delimiter + process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true, // a process group, so that a time-out ends what the command started, too
    });
    const chunks = [];
    const take = (chunk) => {
      chunks.push(chunk);
      if (show) process.stdout.write(chunk);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      process.kill(-child.pid, 'SIGKILL');
    }, limit);
    const finish = (failure) => {
      clearTimeout(timer);
      done({ output: Buffer.concat(chunks).toString(), failure });
    };
    child.on('error', (error) => finish(error.message));
    child.on('close', (code, signal) => {
      if (late) finish(`no end after ${limit / minutes} minutes`);
      else finish(code === 0 ? null : `ended with ${signal ?? code}`);
    });
  });
}

/** The system's `node` of that major version, if its PATH has one outside of node_modules. */
async function systemNode(major) {
  for (const folder of process.env.PATH.split(delimiter)) {
    if (folder.includes('node_modules')) continue;
    const file = join(folder, 'node');
    const { output, failure } = await execute([file, '--version']);
    if (!failure && output.startsWith(`v${major}.`)) return file;
  }
  return null;
}

const built = new Map(); // name -> the failure, or null

async function build(name) {
  if (!built.has(name)) {
    let failure = null;
    for (const command of builds[name].commands) {
      const result = await execute(command);
      if (result.failure) {
        failure = `the build "${name}" failed: ${command.join(' ')} ${result.failure}`;
        console.log(result.output);
        break;
      }
    }
    built.set(name, failure);
  }
  return built.get(name);
}

async function setUp(groups) {
  const { failure } = await execute(['sh', 'native/setup.sh', ...new Set(groups)], { show: true });
  if (failure) process.exit(1);
}

/** Runs one suite; resolves to { passed, failed, skipped, note }. */
async function run(suite, options) {
  const nothing = { passed: 0, failed: 0, skipped: 0 };
  for (const name of suite.builds) {
    const failure = await build(name);
    if (failure) return { ...nothing, failed: 1, note: failure };
  }
  let command = suite.command;
  if (suite.node) {
    const node = await systemNode(suite.node);
    if (!node) return { ...nothing, skipped: 1, note: `the system has no Node ${suite.node}` };
    command = [node, ...command.slice(1)];
  }
  const { output, failure } = await execute(command, {
    env: { ...suite.env, ...(options.full ? { HB_FULL: '1' } : {}) },
    limit: suite.limit,
    show: options.show,
  });
  const counts = suite.count(output);
  const notes = [...new Set(output.match(/skipped: .*/g))];
  if (failure && counts.failed === 0) {
    counts.failed++;
    notes.push(failure);
  }
  if (counts.passed + counts.failed + counts.skipped === 0) {
    counts.failed++;
    notes.push('no test ran');
  }
  if (counts.failed && !options.show) console.log(output);
  return { ...counts, note: notes.join('; ') };
}

async function main(args) {
  const options = { full: args.includes('--full'), show: args.includes('--show') };
  const names = args.filter((arg) => !arg.startsWith('--'));
  if (args.includes('--build')) {
    for (const name of names) if (!builds[name]) throw new Error(`no build is called "${name}"`);
    await setUp(names.flatMap((name) => builds[name].groups));
    for (const name of names) {
      const failure = await build(name);
      if (failure) throw new Error(failure);
    }
    return 0;
  }
  for (const name of names)
    if (!suites.some((suite) => suite.name === name)) throw new Error(`no suite is called "${name}"`);
  const chosen = suites.filter((suite) =>
    names.length ? names.includes(suite.name) : options.full || !suite.full,
  );

  const groups = (suite) => [...(suite.groups ?? []), ...suite.builds.flatMap((name) => builds[name].groups)];
  await setUp(chosen.flatMap(groups));
  const total = { passed: 0, failed: 0, skipped: 0 };
  const rows = [];
  for (const suite of chosen) {
    const start = performance.now();
    const result = await run(suite, options);
    for (const key of Object.keys(total)) total[key] += result[key];
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    const row = [suite.name, result.passed, result.failed, result.skipped, `${seconds} s`];
    rows.push([...row, result.note ?? '']);
    console.log(`${result.failed ? 'FAILED' : 'ok    '} ${format(row)}  ${result.note ?? ''}`.trimEnd());
  }
  console.log(`\n       ${format(['suite', 'passed', 'failed', 'skipped', 'time'])}`);
  for (const row of rows) console.log(`       ${format(row.slice(0, 5))}  ${row[5]}`.trimEnd());
  console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return total.failed ? 1 : 0;
}

function format([name, ...rest]) {
  return String(name).padEnd(12) + rest.map((value) => String(value).padStart(9)).join('');
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
