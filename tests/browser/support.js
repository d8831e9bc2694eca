// Starts the browsers of this machine.
import { existsSync } from 'node:fs';
import { launch } from 'puppeteer-core';

const CHROMIUM_FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export const BROWSERS = [
  {
    name: 'Chromium',
    agent: 'Chrome',
    path: process.env.HB_CHROMIUM ?? '/usr/bin/chromium',
    options: { browser: 'chrome', args: CHROMIUM_FLAGS },
  },
  {
    name: 'Firefox',
    agent: 'Firefox',
    path: process.env.HB_FIREFOX ?? '/usr/bin/firefox-esr',
    options: { browser: 'firefox', args: ['--remote-allow-system-access'] },
  },
];

/** Why a browser cannot be tested here, as options of a test. */
export const installed = ({ path }) => (existsSync(path) ? {} : { skip: `skipped: no ${path}` });

/** @returns {Promise<import('puppeteer-core').Browser>} */
export async function start({ path, options }) {
  const browser = await launch({ executablePath: path, headless: true, ...options });
  if (options.browser === 'firefox') await unwatchWorkers(browser);
  return browser;
}

/**
 * While somebody watches for workers, which a driver of Firefox does unasked, `new Worker` in a
 * worker waits for the main thread to note the new one, at a condition that the new one's thread
 * waits at too (WorkerPrivate::WaitForIsDebuggerRegistered). One of them is woken: now and then it
 * is the wrong one, and the worker never returns from `new Worker`. (Firefox ESR 153)
 */
async function unwatchWorkers({ connection }) {
  const { result } = await connection.send('browsingContext.getTree', { 'moz:scope': 'chrome' });
  await connection.send('script.evaluate', {
    target: { context: result.contexts[0].context },
    expression: 'ChromeUtils.unregisterProcessActor("WebDriverWorkerListener")',
    awaitPromise: false,
  });
}
