// What a measurement was made on and with.
import { existsSync, readFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { PROGRAMS, chromiumVersion, output } from './programs.js';

const NOTEWORTHY = ['avx2', 'avx_vnni', 'avx512_vnni', 'amx_int8', 'asimddp', 'i8mm'];

/** What Linux says of the vector instructions that matter here. */
function instructions() {
  const info = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '';
  const flags = new Set(/^(?:flags|Features)\s*:(.*)$/m.exec(info)?.[1].split(' '));
  return NOTEWORTHY.filter((flag) => flags.has(flag));
}

export function hardware() {
  const processors = cpus();
  const name = [processors[0]?.model.trim(), ...instructions()].join(' ');
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  return `${name}, ${processors.length} processors, ${memory}, ${type()} ${release()}`;
}

const LOOK_MS = 500;

/** How many processors are busy while this process only waits. */
export async function busyProcessors() {
  const sum = () => {
    const times = cpus().map((cpu) => cpu.times);
    const idle = times.reduce((total, { idle }) => total + idle, 0);
    return { idle, all: times.flatMap(Object.values).reduce((total, time) => total + time, 0) };
  };
  const before = sum();
  await new Promise((done) => setTimeout(done, LOOK_MS));
  const after = sum();
  const idle = (after.idle - before.idle) / Math.max(after.all - before.all, 1);
  return cpus().length * (1 - idle);
}

/** The commit that the sources are at. */
async function commit() {
  const hash = (await output(['git', 'rev-parse', '--short', 'HEAD'])).trim();
  const changes = await output(['git', 'status', '--porcelain', '--untracked-files=no']);
  return changes ? `${hash} with changes` : hash;
}

/** @param {string[]} programs */
export async function versions(programs) {
  const all = [`halfbyte ${await commit()}`];
  for (const name of programs) {
    const version = PROGRAMS[name].version?.();
    if (version) all.push(version);
  }
  if (programs.some((name) => PROGRAMS[name].page)) all.push(`Chromium ${await chromiumVersion()}`);
  return all;
}
