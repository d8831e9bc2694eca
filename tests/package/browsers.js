// Opens the fixtures' pages in the browsers of this machine and reads the story that they tell.
import { BROWSERS, installed, start } from '../browser/support.js';
import { startWebKit, webKitMissing } from './webkit.js';

const LIMIT = 60_000;

/** Runs in the page, without names from outside: what it told. */
const readStory = () => {
  const { textContent, dataset } = document.querySelector('#story');
  return {
    text: textContent,
    threads: Number(dataset.threads),
    why: dataset.why,
    processors: navigator.hardwareConcurrency,
    shared: typeof SharedArrayBuffer === 'function',
  };
};

/** Runs in the page, without names from outside: resolves once the story is told. */
const storyTold = () =>
  new Promise((resolve) => {
    const story = document.querySelector('#story');
    const look = () => 'done' in story.dataset && resolve();
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
        const icon = message.location()?.url?.endsWith('/favicon.ico'); // which no fixture has
        if (message.type() === 'error' && !icon) reject(new Error(message.text()));
      });
    });
    failed.catch(() => {}); // told below, if it comes in time
    await page.goto(url);
    await Promise.race([page.waitForSelector('#story[data-done]'), failed]);
    return await page.evaluate(readStory);
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
      return {
        async tell(url) {
          await driver.open(url);
          await driver.evaluate(storyTold);
          return driver.evaluate(readStory);
        },
        close: driver.close,
      };
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
