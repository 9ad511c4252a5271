// The picture: what is shown of a snapshot, and what a person does to it. Runs once a mount with element, trigger, props,
// watch; the files before it are part of the same function.

const root = element.querySelector('.iv'), find = selector => root.querySelector(selector);
const all = selector => [...root.querySelectorAll(selector)];
const stage = find('.iv-stage'), scrubber = find('[data-step]'), splitter = find('.iv-split'), files = find('[data-files]');
const masks = new MaskCache(), viewport = new Viewport(stage), painter = new Painter(find('canvas'), viewport);
const look = {opacity: 0.45, outline: false, split: null, mode: 'plain'};
let picture = null, loaded = '', preview = null, tool = 'positive', shown = null, chooser = false, sending = '', refused = '';

const value = () => props.value || {steps: [], examples: [], branches: []};
const steps = () => value().steps || [];
const current = () => shown === null ? steps().length : clamp(shown, 0, steps().length);
const atEnd = () => current() === steps().length;
const idle = () => Boolean(picture && !value().running && !value().read_only && !sending);
/** How many undone actions of the request a redo can restore; a prompt after an undo leaves none. */
const redoable = () => steps().filter(step => step.index >= (value().requests?.at(-1)?.first_step ?? 1) && step.outcome === 'applied')
  .reduce((count, {action}) => ({backtrack: count + 1, redo: count - 1, point: 0, box: 0, similar: 0})[action?.type] ?? count, 0);
const maskAfter = count => count ? steps()[count - 1].mask : value().start;
const maskInForce = () => shown === null && value().mask || maskAfter(current());
const startAt = count => (value().requests || []).find(request => request.first_step === count + 1)?.start;
const maskBefore = count => startAt(count - 1)?.mask || maskAfter(count - 1);

// What a person does.

function act(name, data = {}) {
  refused = '';
  if (!['fork', 'view'].includes(name)) shown = null;
  trigger(name, data);
}
/** On an earlier step, a person's action begins a new branch in place of the next one. */
function correct(name, action) {
  if (value().read_only || sending) return;
  if (!atEnd()) act('fork', {step: current() + 1, action});
  else act(name, action);
  shown = null;
}
function forkHere() {
  if (!idle()) return;
  if (!atEnd()) act('fork', {step: current() + 1, action: null});
  else act('go_on');
  shown = null;
}
function scrub(count) {
  shown = clamp(count, 0, steps().length);
  if (shown === steps().length) shown = null;
  render();
}
function choose(name) {
  tool = root.dataset.tool = name;
  for (const button of all('button[data-tool]')) button.setAttribute('aria-pressed', button.dataset.tool === name);
}
async function send(kind, list) {
  if (!list.length || sending) return;
  refused = '';
  const failed = await sendFiles(new URLSearchParams(location.search).get('s'), kind, list, (number, count) => {
    sending = count > 1 ? `Sending file ${number} of ${count} …` : 'Sending, and reading the file …';
    render();
  });
  sending = '';
  refused = failed || '';
  if (!failed && kind === 'image') chooser = false;
  render();
  if (!failed) trigger('opened', {});
}

// What is shown.

function layer() {
  const rle = maskInForce();
  if (!rle || preview || picture.width !== rle.size[1] || picture.height !== rle.size[0]) return null;
  if (value().mask === null && steps().length) return null;  // another slice is shown
  if (look.mode === 'errors' && value().truth) return masks.errors(rle, value().truth);
  if (look.mode === 'change' && current()) return masks.change(rle, maskBefore(current()));
  return masks.plain(rle);
}
function draw() {
  const made = picture ? layer() : null;
  painter.draw(preview || picture, made, look, made ? activePrompts(steps(), current(), value().requests) : []);
}
function renderOutcome() {
  const line = find('.iv-outcome'), [sign, text] = line.children;
  const said = refused ? {kind: 'error', sign: '!', text: refused}
    : sending ? {kind: 'running', sign: '◌', text: sending} : describeOutcome(value(), steps().length);
  line.dataset.kind = said.kind;
  sign.textContent = said.sign;
  if (text.textContent !== said.text) text.textContent = said.text;
}
function renderNote() {
  const count = current(), step = steps()[count - 1], start = count ? null : startAt(0), note = find('.iv-note');
  find('.iv-count').textContent = steps().length || start ? count ? `Step ${count} of ${steps().length}` : 'Start' : 'No step yet';
  note.replaceChildren();
  if (!step && !start) return;
  const label = document.createElement('b');
  label.textContent = step ? step.label : describeStart(start);
  const figures = step || start.mask ? ` · ${describeFigures(step || start)}` : '';
  note.append(label, figures, document.createElement('br'), step ? step.error || step.thought : start.reason || '');
}
function renderLegend() {
  const made = {change: [['gained', GAINED], ['lost', LOST]], errors: [['right', FOUND], ['missed', MISSED], ['too much', SPILLED]]};
  find('.iv-legend').replaceChildren(...(made[look.mode] || []).map(([name, colour]) => {
    const item = document.createElement('span'), patch = document.createElement('i');
    patch.style.background = `rgb(${colour})`;
    item.append(patch, name);
    return item;
  }));
}
function renderHint() {
  const hint = find('.iv-hint'), earlier = !atEnd();
  let text = '';
  if (!picture || value().read_only) text = '';
  else if (earlier) text = `Step ${current()}: a click here starts a new branch`;
  else if (!steps().length && !value().running && value().request === null) {
    text = value().picture?.manual_first ? 'The built-in model knows synthetic pictures only: mark this one yourself with a click' : '';
  }
  hint.hidden = !text;
  hint.textContent = text;
}
/** What the reader of the file says about it. */
function renderFacts() {
  const facts = find('.iv-facts'), notes = value().picture?.notes || [];
  facts.hidden = !notes.length;
  facts.textContent = notes.length ? `About this picture: ${notes.join('; ')}.` : '';
}
function renderExamples() {
  const list = find('.iv-examples'), examples = value().examples || [], key = examples.map(example => example.name).join('\n');
  if (list.dataset.names === key) return;
  list.dataset.names = key;
  list.replaceChildren(...examples.map(({name, title, caption, request}) => {
    const card = document.createElement('button'), strong = document.createElement('strong'), span = document.createElement('span');
    card.type = 'button';
    card.dataset.example = name;
    strong.textContent = title;
    span.textContent = caption;
    card.append(strong, span);
    card.addEventListener('click', () => { chooser = false; act('example', {name, request}); });
    return card;
  }));
}
function renderControls() {
  const now = value(), count = steps().length, ready = idle(), anything = typeof now.request === 'string', running = now.running;
  for (const button of all('button[data-tool]')) button.disabled = !picture || Boolean(now.read_only);
  const earlier = atEnd() ? '' : `Shows ${current() ? `step ${current()}` : 'the start'}: go to the last step, or click to go on from here`;
  for (const button of all('[data-event]')) {
    button.dataset.title ??= button.title;
    button.title = earlier || button.dataset.title;
    button.disabled = !ready || !anything || Boolean(earlier) || button.dataset.event === 'redo' && !redoable();
  }
  for (const item of all('[data-with=picture]')) item.hidden = !picture;
  find('[data-do=fork]').disabled = !ready || !count;
  find('[data-do=fork]').textContent = earlier ? 'Go on from here' : 'Let the model go on';
  find('[data-do=back]').disabled = !current();
  find('[data-do=next]').disabled = atEnd();
  scrubber.max = count;
  scrubber.value = current();
  scrubber.disabled = !count;
  find('option[value=errors]').disabled = !now.truth;
  if (!now.truth && look.mode === 'errors') look.mode = find('[data-mode]').value = 'plain';
  all('[data-upload]').forEach(button => { button.disabled = Boolean(running || sending); });
  find('.iv-empty').hidden = Boolean(picture) && !chooser;
  splitter.hidden = look.split === null || !picture || chooser;
  splitter.style.left = `${100 * (look.split ?? 0.5)}%`;
  splitter.setAttribute('aria-valuenow', Math.round(100 * (look.split ?? 0.5)));
}
function render() {
  for (const part of [renderOutcome, renderNote, renderLegend, renderHint, renderFacts, renderExamples, renderControls, draw]) part();
  root.mask = maskInForce();
  Object.assign(root.dataset, {
    start: startAt(0) ? startAt(0).mask ? 'mask' : 'nothing' : '',
    ready: picture ? `${picture.width}x${picture.height}` : '', steps: steps().length, shown: current(),
    asked: value().request === null || value().request === undefined ? '' : 'yes', state: value().running ? 'running' : value().stop_kind || '', version: value().version ?? '', reading: value().read_only ? 'yes' : '',
  });
  document.dispatchEvent(new CustomEvent('ibisagent-step', {detail: atEnd() ? null : current()}));
}
async function load() {
  const wanted = value().picture?.url || '';
  if (wanted === loaded) return;
  loaded = wanted;
  const answer = wanted && await fetch(wanted);
  if (wanted !== loaded) return;
  if (answer && !answer.ok) { refused = `The picture could not be fetched (${answer.status}); reload the page.`; return render(); }
  const made = answer ? await createImageBitmap(await answer.blob(), {imageOrientation: 'none', colorSpaceConversion: 'none'}) : null;
  if (wanted !== loaded) return;
  const same = made && picture && made.width === picture.width && made.height === picture.height;
  picture = viewport.picture = made;
  preview = null;
  masks.clear();
  if (!same) viewport.reset();
  render();
}
let version = null;
function changed() {
  const now = value();
  if (now.handle && version !== now.version) refused = version === null ? '' : refused;
  version = now.version;
  volume.show(now.handle, now.picture);
  render();
  load();
}
