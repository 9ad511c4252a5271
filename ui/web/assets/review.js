// A reader's verdicts: chosen by button or key, saved by Enter; the seconds that the case was looked at are counted here.

const root = document.querySelector('.ir'), find = selector => document.querySelector(selector);
const handle = new URLSearchParams(location.search).get('r'), base = `/r/${encodeURIComponent(handle)}`;
const comment = find('.ir-comment textarea'), save = find('.ir-save'), line = find('.ir-line'), wrong = find('.ir-wrong');
const KEYS = {};
let shown = null, verdict = '', failure = '', spent = 0, since = null, busy = false;

for (const button of document.querySelectorAll('[data-verdict], [data-failure]')) {
  const {verdict: name, failure: tag} = button.dataset;
  KEYS[button.querySelector('kbd').textContent] = button;
  button.addEventListener('click', () => choose(name ?? verdict, tag ?? failure));
}

// Time: it stands still while the page is hidden, and outlives a reload.

const stored = () => `ibisagent-review ${handle} ${shown?.number}`;
function stopClock() {
  if (since !== null) spent += (performance.now() - since) / 1000;
  since = null;
  if (shown && shown.number !== null) sessionStorage.setItem(stored(), String(spent));
}
function startClock() { if (since === null && !document.hidden && shown?.number !== null) since = performance.now(); }
document.addEventListener('visibilitychange', () => document.hidden ? stopClock() : startClock());
addEventListener('pagehide', stopClock);
addEventListener('pageshow', startClock);

function choose(name, tag) {
  verdict = name;
  failure = name === 'accept' ? '' : tag;
  render();
}
function complete() { return verdict === 'accept' || Boolean(verdict && failure); }
function render() {
  for (const button of document.querySelectorAll('[data-verdict]')) button.setAttribute('aria-pressed', button.dataset.verdict === verdict);
  for (const button of document.querySelectorAll('[data-failure]')) {
    button.setAttribute('aria-pressed', button.dataset.failure === failure);
    button.disabled = verdict === 'accept';
  }
  wrong.toggleAttribute('data-off', verdict === 'accept' || !verdict);
  save.disabled = busy || !complete();
  root.dataset.state = shown === null ? 'loading' : shown.number === null ? 'done' : 'reading';
}
function show(reading) {
  const same = shown && shown.number === reading.number;
  shown = reading;
  find('.ir-reader').textContent = reading.reader;
  find('.ir-count').textContent = `${reading.done} of ${reading.total} read`;
  find('.ir-progress').max = Math.max(1, reading.total);
  find('.ir-progress').value = reading.done;
  root.dataset.number = reading.number ?? '';
  const over = reading.number === null;
  find('.ir-end').hidden = !over;
  find('.ir-side').hidden = find('#picture').hidden = over;
  if (over) {
    find('.ir-end p').textContent = reading.total ? `${reading.done} of ${reading.total} cases are read. Thank you; you can close this page.` : 'There is no case whose picture can be shown.';
    return render();
  }
  if (same) return render();
  [verdict, failure, comment.value, line.textContent] = ['', '', '', ''];
  find('.ir-request').textContent = reading.request;
  find('.ir-statement').textContent = reading.statement;
  find('.ir-statement').hidden = !reading.statement;
  const value = {handle: '', version: reading.number, steps: [], examples: [], branches: [], requests: [], read_only: true, running: false, request: '', stop_kind: '', message: '', truth: null};
  window.showPicture({...value, picture: null, start: null, mask: null});  // never one case's mask on another's picture
  const picture = {url: `${base}/picture/${reading.number}`, width: reading.width, height: reading.height, slices: null, windows: [], free_window: false, window: null};
  window.showPicture({...value, picture, start: reading.mask, mask: reading.mask});
  spent = Number(sessionStorage.getItem(stored())) || 0;
  since = null;
  startClock();
  render();
}
async function send() {
  if (busy || !complete() || shown?.number === null) return;
  busy = true;
  stopClock();
  render();
  const before = stored();
  const body = {number: shown.number, verdict, failure, comment: comment.value, seconds: spent};
  const next = await ask(`${base}/verdict`, {method: 'POST', body: JSON.stringify(body), headers: {'Content-Type': 'application/json'}});
  busy = false;
  if (next) {
    sessionStorage.removeItem(before);
    show(next);
    find('.iv-stage').focus({preventScroll: true});
  } else startClock();
  render();
}
async function ask(address, options) {
  try {
    const answer = await fetch(address, options), data = await answer.json().catch(() => ({}));
    if (answer.ok) return data;
    line.textContent = data.error || `The server answered ${answer.status}; reload the page.`;
  } catch {
    line.textContent = 'The connection was lost; your verdict is not saved yet. Try again.';
  }
  return null;
}

save.addEventListener('click', send);
document.addEventListener('keydown', event => {
  if (event.metaKey || event.altKey) return;
  const writes = event.target === comment;
  if (event.key === 'Enter' && (writes ? event.ctrlKey : !event.target.closest('button, input, select'))) {
    event.preventDefault();
    send();
  } else if (event.key === 'Escape' && writes) find('.iv-stage').focus();
  else if (!writes && !event.ctrlKey && KEYS[event.key] && !KEYS[event.key].disabled) KEYS[event.key].click();
});
ask(`${base}/case`).then(reading => reading && show(reading));
render();
