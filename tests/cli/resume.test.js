// quantize --resume: what runs leave that are killed, stopped, or have no room, and how they are
// gone on with. That every method comes to the same bytes from every mark is in tests/unit.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  readFileSync,
  readdirSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  defaultModel,
  halfbyte,
  needs,
  program,
  shared,
  shell,
  temporaryFolder,
} from './support.js';

const original = 'models/tales-5.8m/tales-5.8m-f32.gguf';
const calibration = 'text/tales-calibration.txt';
const needed = needs(original, calibration);

/** The arguments that write `file`. */
function argumentsFor(file, type, method, ...more) {
  return [
    ...['quantize', shared(original), file, '--type', type, '--method', method],
    ...[
      '--calibration',
      shared(calibration),
      '--calibration-samples',
      '2',
      '--calibration-length',
      '64',
    ],
    ...more,
  ];
}

function succeed(args) {
  const { code, out, err } = halfbyte(args);
  assert.equal(code, 0, err);
  return out;
}

const sizeOf = (file) => statSync(file, { throwIfNoEntry: false })?.size ?? 0;
const journalOf = (file) => `${file}.unfinished.journal`;
/** Marks in a journal: behind a line, 144 bytes each. */
const marksIn = (file) => Math.max(0, Math.floor((sizeOf(journalOf(file)) - 19) / 144));

/** Starts a run, and ends it with a signal when it has noted so many marks. */
async function interrupt(args, signal, marks) {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let err = '';
  child.stderr.on('data', (data) => (err += data));
  const ended = once(child, 'close');
  while (marksIn(args[2]) < marks && child.exitCode === null) await sleep(2);
  child.kill(signal);
  const [code, by] = await ended;
  return { code, by, err };
}

for (const [type, method, marks, ...more] of [
  ['q4_0', 'imatrix', 3],
  ['q8_0', 'smoothquant', 3, '--activations', 'tensor'],
])
  test(
    `${method}, killed behind layer ${marks}, is gone on with to the same file`,
    needed,
    async (t) => {
      const folder = temporaryFolder(t);
      const [whole, part] = [path.join(folder, 'whole'), path.join(folder, 'part')];
      succeed(argumentsFor(whole, type, method, ...more));
      const { by } = await interrupt(
        argumentsFor(part, type, method, '-t', '1', ...more),
        'SIGKILL',
        marks,
      );
      assert.equal(by, 'SIGKILL');
      assert.deepEqual(readdirSync(folder).sort(), [
        'part.unfinished',
        'part.unfinished.journal',
        'whole',
      ]);
      const out = succeed(argumentsFor(part, type, method, '-t', '2', ...more, '--resume'));
      assert.match(out, /(\d+) of them are from the interrupted run/);
      assert.ok(readFileSync(part).equals(readFileSync(whole)));
      assert.deepEqual(readdirSync(folder).sort(), ['part', 'whole']);
    },
  );

test('Ctrl-C keeps what is done, and what it left is checked', needed, async (t) => {
  const folder = temporaryFolder(t);
  const [whole, part] = [path.join(folder, 'whole'), path.join(folder, 'part')];
  const args = argumentsFor(part, 'q8_0', 'smoothquant');
  succeed(argumentsFor(whole, 'q8_0', 'smoothquant'));
  const { code, err } = await interrupt(args, 'SIGINT', 2);
  assert.equal(code, 1);
  assert.match(err, /was stopped\n.* with --resume goes on with it/s);
  const [file, journal] = [`${part}.unfinished`, journalOf(part)];
  const before = [readFileSync(file), readFileSync(journal)];

  // Another model, text or method is refused, and leaves everything as it was.
  const refuse = (other, sentence) => {
    const { code, err } = halfbyte([...other, '--resume']);
    assert.equal(code, 1);
    assert.match(err, sentence);
    assert.deepEqual([readFileSync(file), readFileSync(journal)], before);
  };
  refuse(argumentsFor(part, 'q8_0', 'llm.int8'), /the interrupted run had other options/);
  refuse(
    argumentsFor(part, 'q8_0', 'smoothquant', '--calibration-seed', '3'),
    /calibrated with something else/,
  );
  const changed = path.join(folder, 'changed.gguf');
  succeed(['convert', shared(original), changed, '--type', 'bf16']);
  refuse(args.with(1, changed), /read another model/);

  // A byte that changed, or lacks, costs the layers from there on.
  const keptOf = (out) => Number(/(\d+) of them are from/.exec(out)?.[1] ?? 0);
  const goOn = () => {
    const out = succeed([...args, '--resume']);
    assert.ok(readFileSync(part).equals(readFileSync(whole)));
    return keptOf(out);
  };
  const restore = () => (writeFileSync(file, before[0]), writeFileSync(journal, before[1]));
  const all = goOn();
  restore();
  truncateSync(file, before[1].readUIntLE(19 + 96, 6) + 1);
  const first = goOn();
  assert.ok(first > 0 && first < all);
  restore();
  writeFileSync(file, before[0].fill(0xa5, 20, 21));
  assert.equal(goOn(), 0);
});

test('a run without --resume begins anew', needed, async (t) => {
  const folder = temporaryFolder(t);
  const [whole, part] = [path.join(folder, 'whole'), path.join(folder, 'part')];
  await interrupt(argumentsFor(part, 'q4_0', 'smoothquant+rtn'), 'SIGKILL', 2);
  succeed(argumentsFor(whole, 'q8_0', 'smoothquant'));
  assert.match(succeed(argumentsFor(part, 'q8_0', 'smoothquant')), /^begins anew; with --resume /);
  assert.ok(readFileSync(part).equals(readFileSync(whole)));
  assert.deepEqual(readdirSync(folder).sort(), ['part', 'whole']);
});

test('plain rounding leaves nothing to go on with, and begins anew', needed, async (t) => {
  const folder = temporaryFolder(t);
  const file = path.join(folder, 'out');
  const args = ['quantize', shared(original), file, '--type', 'q4_0'];
  const whole = `${file}2`;
  succeed(args.with(2, whole));
  const child = spawn(program, args, { stdio: 'ignore' });
  while (sizeOf(`${file}.unfinished`) === 0 && child.exitCode === null) await sleep(1);
  child.kill('SIGKILL');
  if (child.exitCode === null) await once(child, 'close');
  assert.match(succeed([...args, '--resume']), /^no interrupted run left anything: begins anew/);
  assert.ok(readFileSync(file).equals(readFileSync(whole)));
  assert.deepEqual(readdirSync(folder).sort(), ['out', 'out2']);
});

test('what a run writes until it is finished is no input of it', (t) => {
  const file = path.join(temporaryFolder(t), 'model');
  copyFileSync(defaultModel, `${file}.unfinished`);
  const { code, err } = halfbyte([
    ...['quantize', `${file}.unfinished`, file, '--type', 'q8_0', '--allow-requantize'],
  ]);
  assert.equal(code, 1);
  assert.match(err, /is an input file/);
  assert.ok(readFileSync(defaultModel).equals(readFileSync(`${file}.unfinished`)));
});

test('a full disk keeps what is done', needed, (t) => {
  const folder = temporaryFolder(t);
  const part = path.join(folder, 'part');
  const line = argumentsFor(part, 'q8_0', 'smoothquant')
    .map((each) => `'${each}'`)
    .join(' ');
  const { code, err } = shell(`trap '' XFSZ; ulimit -f 5000; "$HALFBYTE" ${line}`);
  assert.equal(code, 1);
  assert.match(err, /cannot write .*\n.* with --resume goes on with it/s);
  assert.match(
    succeed(argumentsFor(part, 'q8_0', 'smoothquant', '--resume')),
    /are from the interrupted run/,
  );
  assert.ok(existsSync(part));
});

test('two runs do not write the same file', needed, async (t) => {
  const part = path.join(temporaryFolder(t), 'part');
  const args = argumentsFor(part, 'q4_0', 'imatrix');
  const child = spawn(program, args, { stdio: 'ignore' });
  while (marksIn(part) < 1) await sleep(2);
  for (const more of [[], ['--resume']]) {
    const { code, err } = halfbyte([...args, ...more]);
    assert.equal(code, 1);
    assert.match(err, /another run is writing .*part\.unfinished/);
  }
  child.kill('SIGKILL');
  await once(child, 'close');
  assert.ok(marksIn(part) >= 1);
});
