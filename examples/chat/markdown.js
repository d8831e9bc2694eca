// Markdown as DOM nodes. Text goes in as text and nothing is ever parsed as HTML, so that no model can
// put elements, scripts or addresses of its own into the page; links are shown, not followed.

const element = (name, ...children) => {
  const node = document.createElement(name);
  node.append(...children);
  return node;
};

// No alternative looks past its own closing mark, so that a long line costs no more than its length.
const INLINE =
  /(`{1,3})([^`]+)\1|\*\*([^*]+)\*\*|__([^_]+)__|\*(?!\s)([^*]+)\*|\[([^[\]]+)\]\(([^()\s]+)\)/;
const DEPTH = 4; // of quotes in quotes

/** The nodes of a line: code, strong, emphasis, and the texts between them. */
function inline(text) {
  const nodes = [];
  for (let rest = text; rest;) {
    const found = INLINE.exec(rest);
    if (!found) {
      nodes.push(rest);
      break;
    }
    const [all, , code, strong, strong2, emphasis, label, target] = found;
    if (found.index > 0) nodes.push(rest.slice(0, found.index));
    if (code !== undefined) nodes.push(element('code', code));
    else if (strong ?? strong2) nodes.push(element('strong', ...inline(strong ?? strong2)));
    else if (emphasis !== undefined) nodes.push(element('em', ...inline(emphasis)));
    else nodes.push(`${label} (${target})`);
    rest = rest.slice(found.index + all.length);
  }
  return nodes;
}

const ITEM = /^\s*(?:[-*+]|(\d{1,9})[.)])\s+(.*)$/;
const HEADING = /^(#{1,6})\s+(.*)$/;
const FENCE = /^\s*(```|~~~)\s*(\S*)/;

/** Splits a text into blocks of lines of one kind. */
function* blocks(text) {
  const lines = text.split('\n');
  for (let i = 0; i < lines.length;) {
    const fence = FENCE.exec(lines[i]);
    if (fence) {
      const start = ++i;
      while (i < lines.length && !lines[i].trimStart().startsWith(fence[1])) i++;
      yield { kind: 'code', lines: lines.slice(start, i++) };
      continue;
    }
    if (!lines[i].trim()) {
      i++;
      continue;
    }
    const kind = kindOf(lines[i]);
    const start = i++;
    if (kind !== 'heading')
      while (
        i < lines.length &&
        lines[i].trim() &&
        !FENCE.test(lines[i]) &&
        kindOf(lines[i]) === kind
      )
        i++;
    yield { kind, lines: lines.slice(start, i) };
  }
}

function kindOf(line) {
  const item = ITEM.exec(line);
  if (item) return item[1] ? 'ordered' : 'list';
  if (HEADING.test(line)) return 'heading';
  return line.startsWith('>') ? 'quote' : 'text';
}

function blockNode({ kind, lines }, depth) {
  switch (kind) {
    case 'code':
      return element('pre', element('code', lines.join('\n')));
    case 'list':
    case 'ordered': {
      const list = element(
        kind === 'list' ? 'ul' : 'ol',
        ...lines.map((line) => element('li', ...inline(ITEM.exec(line)[2]))),
      );
      if (kind === 'ordered') list.start = Number(ITEM.exec(lines[0])[1]);
      return list;
    }
    case 'heading': {
      const [, marks, text] = HEADING.exec(lines[0]);
      return element(`h${Math.min(marks.length + 2, 6)}`, ...inline(text));
    }
    case 'quote':
      return element(
        'blockquote',
        ...quoted(
          lines.map((line) => line.replace(/^>\s?/, '')),
          depth,
        ),
      );
    default: {
      const paragraph = element('p');
      lines.forEach((line, i) => paragraph.append(...(i ? [element('br')] : []), ...inline(line)));
      return paragraph;
    }
  }
}

function quoted(lines, depth) {
  if (depth >= DEPTH) return [lines.join('\n')];
  return render(lines.join('\n'), depth + 1);
}

/** The nodes of a text. */
export const render = (text, depth = 0) =>
  [...blocks(text)].map((block) => blockNode(block, depth));
