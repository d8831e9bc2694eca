// Which files come with the package. They lie with a page's other files, which the browser keeps by
// itself, so that they need no place in our cache.

/** @type {Set<string>} */
const packaged = new Set();

/** Notes that a file comes with the package. @param {URL} url */
export function fromPackage(url) {
  packaged.add(url.href);
  return url;
}

/** @param {string} href */
export const isFromPackage = (href) => packaged.has(href);
