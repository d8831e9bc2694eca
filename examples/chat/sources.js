// Which model: the built-in one, a file, or an address whose plan is shown before anything is fetched.
import { cache, defaultModel, plan, recommend } from '../../web/index.js';
import { $, fill, make, megabytes, number, say } from './dom.js';
import { askedFor, hubOptions, nameOf } from './names.js';

export function setUpSources(state, open) {
  /** What the plan is of that is shown. @type {{ source: string, options: object } | undefined} */
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
      const options = hubOptions();
      const found = await plan(source, options);
      planned = { source, options };
      showPlan(found);
      say('source-status', '');
    } catch (error) {
      say('source-status', error.message, true);
    }
  }

  function showPlan({ model, memory, disk, fits, advice, fileBytes }) {
    $('plan').hidden = false;
    $('plan-title').textContent = model.name || nameOf(planned.source);
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
  }

  const spaceText = (needed, available) =>
    `${megabytes(needed)} of ${available === undefined ? 'an unknown rest' : megabytes(available)}`;

  async function fetchPlanned() {
    if (!planned) return;
    $('fetch').disabled = true;
    await open(planned.source, nameOf(planned.source), planned.options);
    $('fetch').disabled = false;
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
    const { source, options } = askedFor(entry.identity);
    use.addEventListener('click', () => open(source, nameOf(source), options));
    const drop = make('button', {
      type: 'button',
      className: 'small quiet',
      textContent: 'Delete',
    });
    drop.addEventListener('click', async () => {
      try {
        await cache.delete(entry.id);
      } catch (error) {
        say('source-status', error.message, true);
      }
      await showKept();
      $('kept').focus(); // its button is gone
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
  $('advise').addEventListener('click', advise);
  $('built-in').addEventListener('click', () => open(defaultModel, 'Storyteller'));
  $('file').addEventListener('change', ({ target }) => {
    const [file] = target.files;
    target.value = ''; // so that the same file can be picked again
    if (file) open(file, file.name);
  });
  $('tab-model').addEventListener('shown', showKept);
  state.addEventListener('attempted', showKept);
}
