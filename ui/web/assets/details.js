// What lies under the picture: figures, branches, downloads. Runs once a mount with element, trigger, props, watch.

const root = element.querySelector('.id'), part = name => root.querySelector(`[data-${name}]`);
const keep = root.querySelector('.id-keep'), kept = keep.querySelector('input'), forget = root.querySelector('.id-forget');
const NAMES = {
  'mask.png': 'Mask, PNG', 'overlay.png': 'Overlay, PNG', 'mask.nii.gz': 'Mask, NIfTI', 'mask.nii': 'Mask, NIfTI (plain)',
  'mask.nrrd': 'Mask, NRRD', 'mask.dcm': 'Mask, DICOM-SEG', 'mask.json': 'Mask, COCO run lengths',
  'trajectory.json': 'Trajectory, JSON', 'steps.png': 'Contact sheet', 'measurements.csv': 'Measurements, CSV',
};
let chosen = null;  // number of the step that the picture shows, null for the last

const value = () => props.value || {};
const steps = () => value().steps || [];

function choose(count) {
  document.dispatchEvent(new CustomEvent('ibisagent-choose', {detail: count}));
}
function pressBranch(branch, count) {
  if (branch.active) choose(count);
  else if (!value().running) trigger('switch', {branch: branch.index});
}
function empty(name, text) { part(name).replaceChildren(text); }

function render() {
  const last = steps().length, count = Math.min(chosen ?? last, last), branches = value().branches || [], files = value().downloads || [];
  if (steps().length || value().start) part('plot').replaceChildren(drawPlot(value().start, steps(), count, choose));
  else empty('plot', 'Score and area of the mask, step by step.');
  if (steps().length && branches.length) part('tree').replaceChildren(drawTree(branches, count, pressBranch));
  else empty('tree', 'Go back to any step and try another way: both are kept.');
  part('files').replaceChildren(...files.map(name => {
    const link = document.createElement('a');
    link.href = `/s/${value().handle}/file/${encodeURIComponent(name)}`;
    link.download = name;
    link.textContent = NAMES[name] || name;
    return link;
  }));
  part('last').textContent = count < last ? `, of the last step, ${last}` : '';
  if (!files.length) empty('files', 'The mask in your format, the record of all steps, the measurements.');
  keep.hidden = !['no', 'yes'].includes(value().keep);
  kept.checked = value().keep === 'yes';
  root.hidden = !value().has_picture;
  root.dataset.branches = branches.length;
}

kept.addEventListener('change', () => trigger('keep', {on: kept.checked}));
forget.addEventListener('click', () => {
  if (confirm('Delete the picture, all masks and steps of this session for good?')) trigger('forget', {});
});
document.addEventListener('ibisagent-step', event => {
  if (chosen === event.detail) return;
  chosen = event.detail;
  render();
});
watch('value', render);
render();
