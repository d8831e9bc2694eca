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
    options: { browser: 'firefox' },
  },
];

/** Why a browser cannot be tested here, as options of a test. */
export const installed = ({ path }) => (existsSync(path) ? {} : { skip: `skipped: no ${path}` });

export const start = ({ path, options }) =>
  launch({ executablePath: path, headless: true, ...options });
