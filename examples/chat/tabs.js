// The parts of the page, one of which is shown. A tab hears of being chosen by the event `shown`.
import { $ } from './dom.js';

const tabs = [...document.querySelectorAll('[role=tab]')];

export function show(tab) {
  for (const each of tabs) {
    const chosen = each === tab;
    each.setAttribute('aria-selected', String(chosen));
    each.tabIndex = chosen ? 0 : -1;
    $(each.getAttribute('aria-controls')).hidden = !chosen;
  }
  tab.dispatchEvent(new Event('shown'));
}

/** The tab that a key leads to, from another. */
function reached(key, from) {
  switch (key) {
    case 'ArrowRight':
      return tabs[(from + 1) % tabs.length];
    case 'ArrowLeft':
      return tabs.at(from - 1);
    case 'Home':
      return tabs[0];
    case 'End':
      return tabs.at(-1);
  }
}

export function setUpTabs() {
  for (const [index, tab] of tabs.entries()) {
    tab.addEventListener('click', () => show(tab));
    tab.addEventListener('keydown', (event) => {
      const next = reached(event.key, index);
      if (!next) return;
      event.preventDefault();
      show(next);
      next.focus();
    });
  }
}
