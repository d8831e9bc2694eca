// Which model: the built-in one, a file, or an address whose plan is shown before anything is fetched.
import { cache, defaultModel, plan, recommend } from '../../web/index.js';
import { $, fill, make, megabytes, number, say } from './dom.js';

export function setUpSources(state, open) {
  /** The source whose plan is shown. @type {string | undefined} */
  let planned;

  state.addEventListener('change', () => {
    $('model-name').textContent = state.name || '–';
    const { model } = state;
    $('model-facts').textContent = model
      ? `${model.info.architecture}, ${(model.info.parameters / 1e6).toFixed(1)} M parameters, ` +
        `context of ${model.info.contextLength} tokens, ${megabytes(model.info.weightBytes)} of weights`
      : 'not loaded';
  });

  // ---- A plan

  async function look(source) {
    planned = undefined;
    $('plan').hidden = true;
    say('source-status', 'Reading the header…');
    try {
      const found = await plan(source);
      planned = source;
      showPlan(found);
      say('source-status', '');
    } catch (error) {
      say('source-status', error.message, true);
    }
  }

  function showPlan({ model, memory, disk, fits, advice, fileBytes }) {
    $('plan').hidden = false;
    $('plan-title').textContent = model.name || nameOf(planned);
    fill($('plan-rows'), [
      ['Model', `${(model.parameters / 1e6).toFixed(1)} M parameters, ${model.architecture}`],
      [
        'File',
        megabytes(fileBytes) + (disk.kept ? `, of which ${megabytes(disk.kept)} are here` : ''),
      ],
      ['Disk', spaceText(disk.needed, disk.available)],
      ['Memory', spaceText(memory.total, memory.available)],
      ['', `weights ${megabytes(memory.weights)}, context ${megabytes(memory.context)}`],
    ]);
    say(
      'plan-verdict',
      [fits ? 'It fits here.' : 'It does not fit here.', ...advice].join(' '),
      !fits,
    );
    $('fetch').hidden = false;
    $('pause').hidden = true;
  }

  const spaceText = (needed, available) =>
    `${megabytes(needed)} of ${available === undefined ? 'an unknown rest' : megabytes(available)}`;

  async function fetchPlanned() {
    if (!planned) return;
    $('fetch').hidden = true;
    $('pause').hidden = false;
    const there = await open(planned, nameOf(planned));
    $('pause').hidden = true;
    $('fetch').hidden = there;
    $('fetch').textContent = there ? 'Load it' : 'Go on';
    await showKept();
  }

  // ---- What suits this device

  async function advise() {
    $('advise').disabled = true;
    say('advice', 'Measuring a layer of several types…');
    try {
      const { best, threads } = await recommend();
      say(
        'advice',
        best
          ? `A model like ${best.name} (${(best.parameters / 1e9).toFixed(1)} billion parameters) in ` +
              `${best.type.toUpperCase()} would write about ${number(best.tokensPerSecond, 2)} tokens a ` +
              `second here with ${threads} thread${threads > 1 ? 's' : ''}, in ${megabytes(best.memoryBytes)} of memory.`
          : 'None of the well-known models is fast enough here.',
      );
    } catch (error) {
      say('advice', error.message, true);
    }
    $('advise').disabled = false;
  }

  // ---- What is kept

  async function showKept() {
    let entries = [];
    try {
      entries = await cache.list();
    } catch (error) {
      say('source-status', error.message, true);
    }
    $('kept-none').hidden = entries.length > 0;
    $('kept').replaceChildren(...entries.map(keptNode));
  }

  function keptNode(entry) {
    const use = make('button', {
      type: 'button',
      className: 'small',
      textContent: entry.complete ? 'Load' : 'Go on',
    });
    use.addEventListener('click', () =>
      open(entry.identity, nameOf(entry.identity)).then(showKept),
    );
    const drop = make('button', {
      type: 'button',
      className: 'small quiet',
      textContent: 'Delete',
    });
    drop.addEventListener('click', async () => {
      await cache.delete(entry.id);
      await showKept();
    });
    return make(
      'li',
      {},
      make('span', { className: 'name', textContent: nameOf(entry.identity) }),
      make('span', {
        className: 'faint',
        textContent: `${megabytes(entry.size)}${entry.complete ? '' : ', not complete'}`,
      }),
      use,
      drop,
    );
  }

  // ---- Events

  $('source-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const source = $('source').value.trim();
    if (source) look(source);
  });
  $('fetch').addEventListener('click', fetchPlanned);
  $('pause').addEventListener('click', () => state.pause());
  $('advise').addEventListener('click', advise);
  $('built-in').addEventListener('click', () => open(defaultModel, 'Storyteller'));
  $('file').addEventListener('change', ({ target }) => openFile(target.files[0]));
  $('tab-model').addEventListener('click', showKept);

  const openFile = (file) => file && open(file, file.name);
  addEventListener('dragover', (event) => {
    event.preventDefault();
    $('drop').hidden = false;
  });
  addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) $('drop').hidden = true;
  });
  addEventListener('drop', (event) => {
    event.preventDefault();
    $('drop').hidden = true;
    openFile(event.dataTransfer.files[0]);
  });
}

/** The last part of an address. */
const nameOf = (source) => String(source).split(/[?#]/)[0].split('/').at(-1) || String(source);
