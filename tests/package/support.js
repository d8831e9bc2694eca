// What the tests of the package share: the packed tarball, installed, and applications that use it.
import { execFile, execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';

export const root = resolve(import.meta.dirname, '../..');
const bin = join(import.meta.dirname, 'node_modules', '.bin');
const PATH = [bin, join(root, 'node_modules', '.bin'), process.env.PATH].join(delimiter);
const execute = promisify(execFile);

/** Runs a command in a folder; resolves to what it printed, or rejects with all of it. */
export async function run(command, args, cwd) {
  try {
    return (await execute(command, args, { cwd, env: { ...process.env, PATH } })).stdout;
  } catch (error) {
    throw new Error(`${error.message}\n${error.stdout}${error.stderr}`, { cause: error });
  }
}

/** The bytes of all files in a folder. @param {string} folder */
export const bytesIn = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);

/**
 * Packs the package as it stands and installs the tarball into a folder of its own, once for all
 * test files of a process.
 * @returns the folder, what npm says of the tarball, its path and size, and what applications need
 */
export const installPackage = () => (installed ??= install());

/** @type {ReturnType<typeof install> | undefined} */
let installed;

function install() {
  const folder = mkdtempSync(join(tmpdir(), 'halfbyte-package-'));
  // The suite has built what prepack would build.
  const out = execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [packed] = JSON.parse(out);
  const tarball = join(folder, packed.filename);
  writeFileSync(join(folder, 'package.json'), '{ "name": "application", "private": true, "type": "module" }');
  execFileSync('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error', tarball], {
    cwd: folder,
  });
  const bytes = bytesIn(join(folder, 'node_modules'));

  return {
    folder,
    packed,
    /** What npm installed, before tests add links to it. */
    bytes,
    tarball,
    run: (command, args, cwd = folder) => run(command, args, cwd),
    /** A fixture beside the installed package, with what all share; `own`: with the packages inside. */
    app(fixture, { own = false, name = fixture } = {}) {
      const place = join(folder, name);
      for (const part of ['shared', fixture])
        cpSync(join(import.meta.dirname, 'fixtures', part), place, { recursive: true });
      for (const files of own ? ['node_modules/halfbyte', 'node_modules/@huggingface'] : [])
        cpSync(join(folder, files), join(place, files), { recursive: true });
      return place;
    },
    /** Lets applications import a tool that is installed for the tests. */
    link(name) {
      const places = [import.meta.dirname, root].map((each) => join(each, 'node_modules', name));
      const link = join(folder, 'node_modules', name);
      if (!existsSync(link)) symlinkSync(places.find(existsSync), link);
    },
    /** What an application of the fixtures tells, wherever it runs. */
    async story() {
      return this.run('node', ['story.js'], this.app('node-esm'));
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
