// Opens the fixtures' pages in the browsers of this machine and reads the story that they tell.
import { BROWSERS, installed, start } from '../browser/support.js';
import { startWebKit, webKitMissing } from './webkit.js';

const LIMIT = 60_000;

/** Runs in the page: resolves once the story is told. Without names from outside. */
const toldStory = () =>
  new Promise((resolve) => {
    const story = document.querySelector('#story');
    const look = () => {
      if ('done' in story.dataset)
        resolve({
          text: story.textContent,
          threads: Number(story.dataset.threads),
          why: story.dataset.why,
          processors: navigator.hardwareConcurrency,
          shared: typeof SharedArrayBuffer === 'function',
        });
    };
    new MutationObserver(look).observe(story, { attributes: true });
    look();
  });

/** @param {import('puppeteer-core').Browser} browser @param {string} url */
async function visit(browser, url) {
  const page = await browser.newPage();
  page.setDefaultTimeout(LIMIT);
  try {
    const failed = new Promise((resolve, reject) => {
      page.on('pageerror', reject);
      page.on('console', (message) => {
        if (message.type() === 'error') reject(new Error(message.text()));
      });
    });
    failed.catch(() => {}); // told below, if it comes in time
    const told = page.goto(url).then(() => page.evaluate(toldStory));
    return await Promise.race([told, failed]);
  } finally {
    await page.close();
  }
}

/**
 * Each browser, why it cannot be tested here, whether it isolates a page that asks for it (WebKitGTK
 * 2.50 grants SharedArrayBuffer to none), and how it is started: that gives { tell, close }.
 */
export const browsers = [
  ...BROWSERS.map((kind) => ({
    name: kind.name,
    options: installed(kind),
    isolates: true,
    async start() {
      const browser = await start(kind);
      return { tell: (url) => visit(browser, url), close: () => browser.close() };
    },
  })),
  {
    name: 'WebKitGTK',
    options: webKitMissing(),
    isolates: false,
    async start() {
      const driver = await startWebKit();
      return { tell: (url) => driver.evaluate(url, toldStory), close: driver.close };
    },
  },
];

/** Tells a story in an extension of Chromium. @param {string} folder */
export async function tellInExtension(folder) {
  const [kind] = BROWSERS;
  const browser = await start({ ...kind, options: { ...kind.options, enableExtensions: true, pipe: true } });
  try {
    const id = await browser.installExtension(folder);
    return await visit(browser, `chrome-extension://${id}/index.html`);
  } finally {
    await browser.close();
  }
}

export const chromiumMissing = installed(BROWSERS[0]);
