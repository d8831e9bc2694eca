// What the command line writes, and how numbers and texts look in it.

/** @param {string} line */
export function print(line) {
  process.stdout.write(`${line}\n`);
}

/** Text from a file for a terminal: no control characters. @param {string} text */
export function printable(text) {
  return text.replace(/\p{Cc}/gu, '?');
}

/** @param {number} bytes */
export function size(bytes) {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  for (; bytes >= 1024 && unit < 3; unit++) bytes /= 1024;
  return `${unit === 0 ? bytes : bytes.toFixed(1)} ${units[unit]}`;
}

/** @param {number} perSecond */
export const rate = (perSecond) => `${perSecond.toFixed(1)} tokens/s`;

/** A function that shows the progress of a load on a terminal, and nothing elsewhere. */
export function progressBar(what = 'loading') {
  if (!process.stderr.isTTY) return undefined;
  /** @param {{ loaded: number, total?: number, retryInSeconds?: number }} progress */
  return ({ loaded, total, retryInSeconds: retry }) => {
    const done = total ? `${Math.floor((loaded / total) * 100)} %` : size(loaded);
    process.stderr.write(
      loaded === total
        ? '\r\x1b[K'
        : `\r${what} ${done}${retry ? `, trying again in ${Math.ceil(retry)} s` : ''}\x1b[K`,
    );
  };
}
