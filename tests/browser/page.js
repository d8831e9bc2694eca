// What the tests of the example page share.
import { request as ask } from 'node:http';

export const LIMIT = 60_000;
export const PAGE = '/examples/chat/';

/** Opens the page and waits until the model is there; `messages` are those on its console. */
export async function openPage(browser, origin) {
  const page = await browser.newPage();
  page.setDefaultTimeout(LIMIT);
  const errors = [];
  const messages = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    messages.push(message.text());
    if (message.type() === 'error') errors.push(message.text());
  });
  await page.goto(origin + PAGE);
  await ready(page);
  return { page, errors, messages };
}

/** Until a model can be asked. */
export const ready = (page) => page.waitForSelector('#send:not(:disabled)');

/** Puts a message into the box, to be answered with so many tokens. */
export const write = (page, message, length) =>
  page.evaluate(
    (value, tokens) => {
      document.querySelector('#input').value = value;
      document.querySelector('[name=maxTokens]').value = tokens;
    },
    message,
    length,
  );

/** Until nothing is being written. */
export const idle = (page) =>
  page.waitForFunction(
    () =>
      document.querySelector('#messages').getAttribute('aria-busy') === 'false' &&
      !document.querySelector('#send').disabled,
  );

export const text = (page, selector) => page.$eval(selector, (element) => element.textContent);

/** Until an element's text is as the pattern says. */
export const textIs = (page, selector, pattern) =>
  page.waitForFunction(
    (selector, source) =>
      new RegExp(source).test(document.querySelector(selector)?.textContent ?? ''),
    {},
    selector,
    pattern.source,
  );

export const setValue = (page, selector, value) =>
  page.$eval(selector, (element, value) => (element.value = value), value);

/**
 * Serves the page under the address of a server that fails as it is told, so that what that gives
 * is of the page's own origin: what is not below `own` comes from the page's server.
 */
export function front(faulty, origin, own) {
  faulty.elsewhere = (request, response) => {
    if (own.some((path) => request.url.startsWith(path))) return false;
    const { method, url, headers } = request;
    const passed = ask(origin + url, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    passed.on('error', () => response.destroy());
    passed.end();
    return true;
  };
}
