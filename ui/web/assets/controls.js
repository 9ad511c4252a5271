// Buttons, keys and pointers of the picture, wired to what `picture.js` does.

function zoomBy(factor) {
  viewport.zoom(viewport.box.width / 2, viewport.box.height / 2, factor);
  draw();
}
function fitPicture() {
  viewport.reset();
  draw();
}
function fullScreen() {  // phones without it get the stage over the whole page
  if (document.fullscreenElement) document.exitFullscreen();
  else if (stage.requestFullscreen) stage.requestFullscreen();
  else stage.classList.toggle('iv-full');
}
function pick(kind) {
  files.dataset.kind = kind;
  files.multiple = kind === 'image';
  files.value = '';
  files.click();
}
function moveSplit(fraction) {
  look.split = clamp(fraction, 0, 1);
  render();
}

/** As the button does: nothing where it is disabled. */
function press(name) { find(`[data-event=${name}]`).click(); }
/** Whether a key is for what has the focus: text, a choice, a slider's arrows, a button's or link's Enter. */
function isTaken(event) {
  const {target, key} = event;
  if (target.closest('.iv-empty, textarea, select, [contenteditable], input:not([type=range], [type=checkbox], [type=radio])')) return true;
  if (key.startsWith('Arrow')) return Boolean(target.closest('input, .ic-table'));
  return key === 'Enter' && Boolean(target.closest('input, button, a, summary, label, [role=button]'));
}

const DO = {
  open: () => { chooser = true; render(); },
  close: () => { chooser = false; render(); },
  out: () => zoomBy(1 / 1.5), in: () => zoomBy(1.5), fit: fitPicture, full: fullScreen,
  back: () => scrub(current() - 1), next: () => scrub(current() + 1), fork: forkHere,
};
const KEYS = {
  p: () => choose('positive'), n: () => choose('negative'), b: () => choose('box'), s: () => find('[data-tool=similar]').hidden || choose('similar'), h: () => choose('move'),
  u: () => press('undo'), r: () => press('redo'), Enter: () => press('accept'),
  0: fitPicture, '+': () => zoomBy(1.5), '-': () => zoomBy(1 / 1.5),
  ArrowLeft: () => scrub(current() - 1), ArrowRight: () => scrub(current() + 1),
};

for (const button of all('[data-do]')) button.addEventListener('click', () => DO[button.dataset.do]());
for (const button of all('button[data-tool]')) button.addEventListener('click', () => choose(button.dataset.tool));
for (const button of all('[data-event]')) button.addEventListener('click', () => act(button.dataset.event));
for (const button of all('[data-upload]')) button.addEventListener('click', () => {
  pick(button.dataset.upload);
  find('.iv-menu').open = false;
});
files.addEventListener('change', () => send(files.dataset.kind, [...files.files]));
root.addEventListener('dragover', event => { event.preventDefault(); root.dataset.over = ''; });
root.addEventListener('dragleave', event => { if (!root.contains(event.relatedTarget)) delete root.dataset.over; });
root.addEventListener('drop', async event => {
  event.preventDefault();
  delete root.dataset.over;
  send('image', await droppedFiles(event.dataTransfer));
});
scrubber.addEventListener('input', () => scrub(Number(scrubber.value)));
find('[data-opacity]').addEventListener('input', event => { look.opacity = Number(event.target.value); draw(); });
find('[data-outline]').addEventListener('change', event => { look.outline = event.target.checked; draw(); });
find('input[data-split]').addEventListener('change', event => { look.split = event.target.checked ? 0.5 : null; render(); });
find('[data-mode]').addEventListener('change', event => { look.mode = event.target.value; render(); });
splitter.addEventListener('pointerdown', event => splitter.setPointerCapture(event.pointerId));
splitter.addEventListener('pointermove', event => {
  if (splitter.hasPointerCapture(event.pointerId)) moveSplit(viewport.place(event)[0] / viewport.box.width);
});
splitter.addEventListener('keydown', event => {
  const by = {ArrowLeft: -0.02, ArrowRight: 0.02}[event.key];
  if (by) { event.preventDefault(); event.stopPropagation(); moveSplit(look.split + by); }
});
stage.addEventListener('keydown', event => {
  if (event.key !== ' ' || event.target.closest('.iv-empty, button') || event.ctrlKey || event.metaKey || event.altKey) return;
  gestures.spaced = true;
  event.preventDefault();
});
stage.addEventListener('keyup', event => { if (event.key === ' ') gestures.spaced = false; });
window.ibisagentPicture?.abort();  // the listeners of a picture that this one replaces
window.ibisagentPicture = new AbortController();
const {signal} = window.ibisagentPicture;
document.addEventListener('ibisagent-choose', event => scrub(event.detail), {signal});
document.addEventListener('keydown', event => {
  if (!picture || chooser || !KEYS[event.key] || event.defaultPrevented || event.isComposing) return;
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey && event.key !== '+' || isTaken(event)) return;
  KEYS[event.key]();
  event.preventDefault();
}, {signal});

const gestures = new Gestures(stage, viewport, find('.iv-frame'), () => tool, {
  click: (x, y, positive, alike) => correct(alike ? 'similar' : 'spot', {type: alike ? 'similar' : 'point', x, y, positive}),
  box: (x0, y0, x1, y1) => correct('box', {type: 'box', x0, y0, x1, y1}),
  redraw: draw,
});
const volume = new VolumeControls(find('.iv-volume'), {
  preview: bitmap => { preview = bitmap; draw(); },
  view: view => act('view', view),
});
choose(tool);
watch('value', changed);
new ResizeObserver(() => { painter.resize(); viewport.resize(); draw(); }).observe(stage);
painter.resize();
changed();
