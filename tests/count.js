// Counts tests in the output of the frameworks that the suites use. Each function takes the whole
// output and gives { passed, failed, skipped }.

/** node --test --test-reporter=tap: the totals at its end. */
export function countTap(output) {
  const total = (word) => Number(new RegExp(`^# ${word} (\\d+)$`, 'm').exec(output)?.[1] ?? 0);
  return {
    passed: total('pass'),
    failed: total('fail') + total('cancelled'),
    skipped: total('skipped') + total('todo'),
  };
}

/**
 * ctest -V over cmocka programs that speak TAP: each test function counts, and a program that died
 * counts as one failed test more.
 */
export function countCtest(output) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const seen = new Map(); // number of a program -> whether a test of it failed
  for (const line of output.split('\n')) {
    const test = /^(\d+): (not ok|ok) \d+ (?:- |(# SKIP))/.exec(line);
    if (test) {
      const [, program, result, skip] = test;
      const failed = result === 'not ok' && !skip;
      counts[skip ? 'skipped' : failed ? 'failed' : 'passed']++;
      seen.set(program, failed || seen.get(program) === true);
      continue;
    }
    const end = /^ *\d+\/\d+ Test +#(\d+): .*?(Passed|\*\*\*)/.exec(line);
    if (end && end[2] !== 'Passed' && !seen.get(end[1])) counts.failed++;
    if (end && end[2] === 'Passed' && !seen.has(end[1])) counts.passed++;
  }
  return counts;
}

/** A script of ours that closes with "N passed, N failed, N skipped". */
export function countClosingLine(output) {
  const line = /^(\d+) passed, (\d+) failed, (\d+) skipped$/m.exec(output);
  const [passed, failed, skipped] = line ? line.slice(1).map(Number) : [0, 0, 0];
  return { passed, failed, skipped };
}
