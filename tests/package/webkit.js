// WebKitGTK through its WebDriver. It draws on a display that nobody sees.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

const DRIVER = process.env.HB_WEBKIT_DRIVER ?? '/usr/bin/WebKitWebDriver';
const DISPLAY = '/usr/bin/Xvfb';

/** Why it cannot be tested here, as options of a test. */
export function webKitMissing() {
  const missing = [DRIVER, DISPLAY].filter((path) => !existsSync(path));
  return missing.length ? { skip: `skipped: no ${missing.join(', no ')}` } : {};
}

/** A display of its own; Xvfb tells its number on a pipe. */
async function startDisplay() {
  const process = spawn(DISPLAY, ['-displayfd', '3', '-nolisten', 'tcp'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  });
  const { value } = await createInterface({ input: process.stdio[3] })[Symbol.asyncIterator]().next();
  if (!value) throw new Error('no display could be opened');
  return { process, name: `:${value.trim()}` };
}

async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** Sends a command of WebDriver. Refused connections are tried again: the driver says not when it listens. */
async function command(base, method, path, body) {
  for (let left = 100; ; left--) {
    try {
      const response = await fetch(base + path, { method, body: body && JSON.stringify(body) });
      const { value } = await response.json();
      if (!response.ok) throw new Error(`${value.error}: ${value.message}`);
      return value;
    } catch (error) {
      if (error.cause?.code !== 'ECONNREFUSED' || left === 0) throw error;
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}

export async function startWebKit() {
  const display = await startDisplay();
  const port = await freePort();
  const base = `http://127.0.0.1:${port}/session`;
  const driver = spawn(DRIVER, [`--port=${port}`], {
    stdio: 'ignore',
    env: {
      ...process.env,
      DISPLAY: display.name,
      WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1', // as --no-sandbox of Chromium
    },
  });
  const end = () => {
    driver.kill();
    display.process.kill();
  };
  try {
    const { sessionId } = await command(base, 'POST', '', {
      capabilities: { alwaysMatch: { timeouts: { script: 60_000 } } },
    });
    return {
      open: (url) => command(base, 'POST', `/${sessionId}/url`, { url }),
      /** Runs a function in the page, without names from outside. */
      evaluate(task) {
        const script = `Promise.resolve((${task})()).then(arguments[0])`;
        return command(base, 'POST', `/${sessionId}/execute/async`, { script, args: [] });
      },
      async close() {
        await command(base, 'DELETE', `/${sessionId}`);
        end();
      },
    };
  } catch (error) {
    end();
    throw error;
  }
}
