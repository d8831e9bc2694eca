// The conversation: messages, their buttons, and the answer that is being written.
import { $, make, number, say } from './dom.js';
import { render } from './markdown.js';

/** @typedef {{ role: 'user' | 'assistant', content: string }} Message */

const ENDINGS = {
  stop: '',
  length: 'Cut at the length in the settings.',
  context: 'The context is full.',
  abort: 'Stopped.',
};

export function setUpChat(state) {
  /** @type {Message[]} */
  let messages = [];
  const list = $('messages');
  /** Whether the model has a template for conversations; else it continues stories. */
  let converses = false;

  state.addEventListener('change', () => {
    const idle = Boolean(state.model) && !state.busy;
    switchButtons(idle);
    for (const button of list.querySelectorAll('button.again, button.edit'))
      button.disabled = !idle;
    if (!state.model) return;
    const before = converses;
    converses = state.model.info.hasChatTemplate;
    $('system-field').hidden = !converses;
    $('input').placeholder = converses ? 'Write a message' : 'How does the story begin?';
    $('send').textContent = converses ? 'Send' : 'Tell';
    if (before !== converses) startAnew();
    if (messages.length === 0) showHint();
  });

  /** A button that goes away or rests hands its focus on. */
  function switchButtons(idle) {
    const focused = document.activeElement;
    $('send').disabled = !idle;
    $('stop').hidden = !state.busy?.telling;
    // Not to the button that stops: the key that is still down would press it.
    if (focused === $('send') && !idle) list.focus();
    if (focused === $('stop') && $('stop').hidden) $(idle ? 'send' : 'input').focus();
  }

  function startAnew() {
    messages = [];
    showHint();
  }

  function showHint() {
    const beginnings = converses
      ? ['What can you help me with?', 'Explain how a rainbow comes about.']
      : ['Once upon a time there was a little girl who', 'The old king had three sons, and'];
    list.replaceChildren(
      make('p', {
        className: 'hint',
        textContent: converses ? 'Ask something, for instance:' : 'Begin a story, for instance:',
      }),
      ...beginnings.map((textContent) => {
        const button = make('button', { type: 'button', className: 'quiet hint', textContent });
        button.addEventListener('click', () => {
          $('input').value = textContent;
          $('input').focus();
        });
        return button;
      }),
    );
  }

  // ---- Messages

  /** Adds a message at the end; gives the place of its text. */
  function add(message) {
    const index = messages.push(message) - 1;
    if (index === 0) list.replaceChildren();
    const node = messageNode(message, index);
    list.append(node);
    list.scrollTop = list.scrollHeight;
    return node.querySelector('.text');
  }

  /** Leaves the first messages alone; what they show stays as it is. */
  function cut(length) {
    messages.length = length;
    while (list.children.length > length) list.lastElementChild.remove();
    if (length === 0) showHint();
  }

  function messageNode(message, index) {
    const body = make('div', { className: 'text' });
    fillBody(body, message);
    const node = make('article', { className: message.role }, body, buttons(message, index));
    node.setAttribute('aria-label', message.role === 'user' ? 'You' : 'Model');
    return node;
  }

  function fillBody(body, { role, content }) {
    if (role === 'assistant' && converses) body.replaceChildren(...render(content));
    else body.textContent = content.trimStart();
  }

  function buttons(message, index) {
    const button = (name, textContent, act) => {
      const node = make('button', { type: 'button', className: `small ${name}`, textContent });
      node.addEventListener('click', act);
      return node;
    };
    const copy = button('copy', 'Copy', async () => {
      try {
        await navigator.clipboard.writeText(message.content);
        copy.textContent = 'Copied';
        say('status', 'Copied.');
      } catch {
        say('status', 'Copying is not allowed here.', true);
      }
    });
    const change =
      message.role === 'user'
        ? button('edit', 'Edit', () => edit(index))
        : button('again', 'Again', () => again(index));
    change.disabled = Boolean(state.busy);
    const row = make('div', { className: 'buttons' }, copy, change);
    row.setAttribute('aria-live', 'off'); // an answer is read out, not its buttons
    return row;
  }

  /** Has an answer written anew. */
  function again(index) {
    if (state.busy) return;
    cut(index);
    list.focus(); // its button is gone
    answer();
  }

  /** Takes a message and all after it back into the box. */
  function edit(index) {
    if (state.busy) return;
    $('input').value = messages[index].content;
    cut(index);
    $('input').focus();
  }

  // ---- Answers

  function send() {
    const content = $('input').value;
    if (!content.trim() || !state.model || state.busy) return;
    if (!converses) messages = [];
    add({ role: 'user', content });
    $('input').value = '';
    answer();
  }

  function settings() {
    const fields = $('settings').querySelectorAll('input[type=number]');
    return Object.fromEntries(
      [...fields]
        .filter(({ value }) => value !== '')
        .map(({ name, value }) => [name, Number(value)]),
    );
  }

  function begin(signal) {
    const options = { ...settings(), signal };
    if (!converses) return state.model.stream(messages.at(-1).content, options);
    const system = $('settings').querySelector('[name=system]').value.trim();
    const given = system ? [{ role: 'system', content: system }, ...messages] : messages;
    return state.model.chat(given, { ...options, contextPolicy: 'truncateMiddle' });
  }

  const answer = () =>
    state.use(async (signal) => {
      state.busy.telling = true;
      state.changed();
      const message = { role: 'assistant', content: '' };
      const asked = messages;
      let body;
      const write = () => follow(() => body && fillBody(body, message));
      say('status', 'Reading…');
      list.setAttribute('aria-busy', 'true');
      try {
        for await (const part of writeOften(begin(signal), write)) {
          if (asked !== messages) break; // a new conversation was begun
          body ??= add(message);
          message.content += part.text;
          if (part.finishReason) tellEnd(part);
        }
      } catch (error) {
        say('status', error.message, true);
      } finally {
        write();
        list.setAttribute('aria-busy', 'false');
      }
    });

  /** Keeps the end in sight while something is written, unless the reader went up. */
  function follow(write) {
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
    write();
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  /** Passes parts on; `write` shows what came at most once a frame, and at the end. */
  async function* writeOften(parts, write) {
    let due = false;
    for await (const part of parts) {
      yield part;
      if (due) continue;
      due = true;
      requestAnimationFrame(() => {
        due = false;
        write();
      });
    }
  }

  function tellEnd({ finishReason, usage, timings }) {
    $('speed').textContent = `${number(timings.tokensPerSecond)} tokens/s`;
    say(
      'status',
      `${ENDINGS[finishReason]} ${usage.completionTokens} tokens at ${number(timings.tokensPerSecond)} a second; ` +
        `prompt read at ${number(timings.prefillTokensPerSecond)}.`.trim(),
    );
  }

  // ---- Events

  $('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    send();
  });
  $('input').addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  $('stop').addEventListener('click', () => state.busy?.abort());
  $('fresh').addEventListener('click', () => {
    state.busy?.abort();
    startAnew();
    $('input').focus();
  });
  showHint();
}
