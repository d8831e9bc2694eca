// What the pages of reports share. Texts of models and files only ever become text nodes.
const data = JSON.parse(document.getElementById('data').textContent);
const $ = (id) => document.getElementById(id);
const list = (value) => (Array.isArray(value) ? value : []);

// ---- Numbers ----

const isNumber = (x) => typeof x === 'number' && Number.isFinite(x);
const number = (x, digits = 3) => (isNumber(x) ? String(Number(x.toPrecision(digits))) : '–');
const fixed = (x, digits) => (isNumber(x) ? x.toFixed(digits) : '–');
/** Below a thousandth as 1.25·10⁻⁴. */
function small(x, digits = 3) {
  if (!isNumber(x) || x === 0 || Math.abs(x) >= 1e-3) return number(x, digits);
  const [factor, power] = x.toExponential(digits - 1).split('e-');
  return `${Number(factor)}·10⁻${[...power].map((digit) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[digit]).join('')}`;
}

// ---- Elements ----

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}
function shape(parent, name, attributes = {}, text) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}
function fill(select, names, chosen) {
  select.replaceChildren(...names.map((name, i) => {
    const option = element('option', { value: String(i) }, name);
    option.selected = i === chosen;
    return option;
  }));
}
/** Calls `draw` for the width that the page has, now and whenever it has another. */
function onWidth(draw) {
  let width = 0;
  new ResizeObserver(() => {
    if (document.body.clientWidth === width) return;
    width = document.body.clientWidth;
    draw();
  }).observe(document.body);
}

// ---- Plots ----

/** Maps values to places, with round ticks; a logarithmic one has them at 1, 2, 5 times 10^n. */
function scale(values, from, to, { logarithmic = false, tight = false, zero = false } = {}) {
  const good = values.filter((x) => isNumber(x) && (!logarithmic || x > 0));
  let low = zero ? 0 : good.reduce((a, b) => Math.min(a, b), Infinity);
  let high = good.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!good.length) [low, high] = [1, 10];
  const ticks = [];
  if (logarithmic) {
    [low, high] = low === high ? [low / 2, high * 2] : [low / 1.25, high * 1.25];
    const [a, b] = [Math.log(low), Math.log(high)];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      for (const step of b - a > 7 ? [1] : [1, 2, 5]) {
        const tick = Number(`${step}e${power}`);
        if (tick >= low && tick <= high) ticks.push(tick);
      }
    return { at: (x) => from + ((Math.log(Math.max(x, low)) - a) / (b - a)) * (to - from), ticks };
  }
  const span = high - low || Math.abs(high) || 1;
  if (!tight) [low, high] = [zero ? 0 : low - span * 0.06, high + span * 0.06];
  if (low === high) high = low + span;
  const rough = (high - low) / Math.max(2, Math.abs(to - from) / 80);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((s) => s * power >= rough) * power;
  for (let tick = Math.ceil(low / step) * step; tick <= high * (1 + 1e-9); tick += step) ticks.push(Number(tick.toPrecision(6)));
  return { at: (x) => from + ((x - low) / (high - low)) * (to - from), ticks };
}

/** An empty plot in a box; x and y are made for its size. What is drawn `inside` ends at its edges. */
function plot(box, height, label, makeX, makeY) {
  const width = Math.max(280, box.clientWidth);
  const edge = { left: 60, right: 14, top: 12, bottom: 44 };
  const bottom = height - edge.bottom;
  const svg = shape(box, 'svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label.title });
  box.replaceChildren(svg);
  const x = makeX(edge.left, width - edge.right);
  const y = makeY(bottom, edge.top);
  for (const tick of y.ticks) {
    shape(svg, 'line', { class: 'grid', x1: edge.left, x2: width - edge.right, y1: y.at(tick), y2: y.at(tick) });
    shape(svg, 'text', { x: edge.left - 6, y: y.at(tick) + 4, 'text-anchor': 'end' }, (y.show ?? small)(tick));
  }
  let free = -Infinity;
  for (const tick of x.ticks) {
    const text = (x.show ?? number)(tick);
    const half = text.length * 3.6;
    const middle = Math.min(x.at(tick), width - half - 2);
    shape(svg, 'line', { class: 'grid', x1: x.at(tick), x2: x.at(tick), y1: edge.top, y2: bottom });
    if (middle - half < free + 6) continue;
    free = middle + half;
    shape(svg, 'text', { x: middle, y: bottom + 17, 'text-anchor': 'middle' }, text);
  }
  shape(svg, 'line', { class: 'axis', x1: edge.left, x2: width - edge.right, y1: bottom, y2: bottom });
  shape(svg, 'line', { class: 'axis', x1: edge.left, x2: edge.left, y1: edge.top, y2: bottom });
  shape(svg, 'text', { x: (edge.left + width - edge.right) / 2, y: height - 6, 'text-anchor': 'middle' }, label.x);
  shape(svg, 'text', { transform: `translate(12 ${(edge.top + bottom) / 2}) rotate(-90)`, 'text-anchor': 'middle' }, label.y);
  const id = `inside-${box.id}`;
  shape(shape(svg, 'clipPath', { id }), 'rect', { x: edge.left, y: edge.top, width: width - edge.left - edge.right, height: bottom - edge.top });
  const inside = shape(svg, 'g', { 'clip-path': `url(#${id})` });
  return { svg, inside, x, y, width, edge, bottom };
}
