// Pages that the command line wrote, opened in a browser.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { after, before } from 'node:test';
import { borrow } from './shared.js';

const program = process.env.HB_CLI ?? 'build/native/halfbyte';

/** @param {string[]} args */
export const halfbyte = (args) => execFileSync(program, args);

/**
 * For the tests of a suite: what opens the page at a width, and collects its errors.
 * @param {object} kind of the browser
 * @param {(folder: string) => string} write makes the page in a folder and returns its name there
 * @param {string} drawn what the page shows when it is drawn
 */
export function openPrinted(kind, write, drawn) {
  let browser;
  let folder;
  let address;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'halfbyte-'));
    address = pathToFileURL(join(folder, write(folder))).href;
    browser = await borrow(kind);
  });
  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return async (width) => {
    const page = await browser.newPage();
    const errors = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
    await page.setViewport({ width, height: 800 });
    await page.goto(address);
    await page.waitForSelector(drawn);
    return { page, errors };
  };
}
