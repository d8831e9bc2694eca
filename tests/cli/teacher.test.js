// Learning from another model on the command line, which may itself begin at random and learn.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { halfbyte, temporaryFolder } from './support.js';

function succeed(...args) {
  const { code, out, err } = halfbyte(args);
  assert.equal(code, 0, err);
  return out;
}

/** A small quantized student, a larger teacher with its tokens, and a run that teaches. */
function prepare(t) {
  const folder = temporaryFolder(t);
  const at = (name) => path.join(folder, name);
  succeed('synth', '-o', at('student.gguf'), '--shape', '64,1,2,1,128,300', '--type', 'q4_0');
  succeed('synth', '-o', at('teacher.gguf'), '--shape', '96,2,3,1,192,300', '--type', 'f32');
  writeFileSync(at('text'), 'The cat sat on the mat, and the dog lay by the door.\n'.repeat(40));
  const size = ['--sequences', '4', '--length', '32', '--steps', '60', '--rate', '1e-2', '-t', '1'];
  const train = (out, ...more) => [
    ...['finetune', at('student.gguf'), '--method', 'qat', '--data', at('text'), ...size],
    ...['--out', at(out), ...more],
  ];
  return { at, train };
}

const readLog = (file) =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => JSON.parse(line));

test('a student follows a larger teacher, and one that learns beside it', (t) => {
  const { at, train } = prepare(t);
  const teaches = ['--teacher', '0.5', '--teacher-model', at('teacher.gguf')];
  succeed(...train('fixed', ...teaches));
  const fixed = readLog(at('fixed/log.jsonl'));
  assert.ok(fixed.every(({ teacher }) => teacher === undefined));
  const out = succeed(...train('joint', ...teaches, '--joint'));
  assert.match(out, /step 60\/60 {2}loss [\d.]+ {2}entropy [\d.]+ {2}teacher [\d.]+ /);
  const joint = readLog(at('joint/log.jsonl'));
  assert.equal(joint.length, 60);
  assert.ok(joint.at(-1).teacher < 0.5 * joint[0].teacher);
  // A teacher that knows nothing of the text holds its student back.
  assert.ok(joint.at(-1).entropy < 0.8 * fixed.at(-1).entropy);
});

test('what makes no sense of a teacher is refused by name', (t) => {
  const { at, train } = prepare(t);
  const refused = (message, ...more) => {
    const { code, err } = halfbyte(train('out', ...more));
    assert.notEqual(code, 0);
    assert.match(err, message);
    assert.ok(!existsSync(at('out')), 'nothing is left');
  };
  const model = ['--teacher-model', at('teacher.gguf')];
  refused(/--teacher needs --original or --teacher-model/, '--teacher', '0.5');
  refused(/they need --teacher/, ...model);
  refused(/they need --teacher/, '--joint');
  writeFileSync(at('config.json'), '{}');
  refused(
    /nothing to teach without --joint/,
    '--teacher',
    '1',
    '--teacher-model',
    at('config.json'),
  );
  refused(/No such file/, '--teacher', '1', '--teacher-model', at('none.gguf'));
  succeed('synth', '-o', at('strange.gguf'), '--shape', '64,1,2,1,128,310', '--type', 'f32');
  refused(
    /the teacher has 310 tokens, and its student 300/,
    '--teacher',
    '1',
    '--teacher-model',
    at('strange.gguf'),
  );
  refused(
    /teacher has no meaning in training by lkd/,
    '--method',
    'lkd',
    '--original',
    at('teacher.gguf'),
    '--teacher',
    '1',
    ...model,
  );
});
