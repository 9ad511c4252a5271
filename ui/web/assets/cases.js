// The list of recorded runs: found by words, sorted by a column, opened by a press. Runs once a mount with element,
// trigger, props, watch.

const root = element.querySelector('.ic'), find = selector => root.querySelector(selector);
const head = find('thead tr'), body = find('tbody'), words = find('[data-find]'), more = find('.ic-more');
const COLUMNS = [
  {name: 'Case', key: 'case'}, {name: 'Policy', key: 'policy'}, {name: 'Segmenter', key: 'segmenter', narrow: true},
  {name: 'Request', key: 'request', narrow: true}, {name: 'Stop', key: 'stop'}, {name: 'Steps', key: 'steps', number: true, narrow: true},
  {name: 'IoU', key: 'iou', number: true, text: value => value === null ? '\u2013' : value.toFixed(3)},
];
const MOST_ROWS = 300;
let rows = [], loaded = null, sorted = null, down = false;

const list = () => props.value?.cases ?? null;

function matching() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = rows.filter(row => wanted.every(word => row.text.includes(word)));
  if (!sorted) return found;
  const sign = down ? -1 : 1;
  return found.sort((one, other) => {
    const [a, b] = [one[sorted], other[sorted]];
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (typeof a === 'number' ? a - b : a.localeCompare(b, 'en', {numeric: true}));
  });
}
function open(index) {
  if (index !== list()?.open && !props.value.running) trigger('choose', {index});
}
function go(by) {
  const found = matching(), at = found.findIndex(row => row.index === list()?.open);
  const next = found[at < 0 ? 0 : at + by];
  if (next) open(next.index);
}
function sortBy(key) {
  [sorted, down] = sorted === key ? [key, !down] : [key, false];
  render();
}
function cell(kind, column) {
  const made = document.createElement(kind);
  if (column.number) made.dataset.number = '';
  if (column.narrow) made.dataset.narrow = '';
  return made;
}
function renderHead() {
  head.replaceChildren(...COLUMNS.map(column => {
    const made = cell('th', column), press = document.createElement('button');
    const active = sorted === column.key;
    made.setAttribute('aria-sort', active ? down ? 'descending' : 'ascending' : 'none');
    press.type = 'button';
    press.textContent = column.name + (active ? down ? ' \u25BE' : ' \u25B4' : '');
    press.addEventListener('click', () => sortBy(column.key));
    made.append(press);
    return made;
  }));
}
function renderRow(row) {
  const made = document.createElement('tr');
  made.dataset.index = row.index;
  if (row.index === list()?.open) made.setAttribute('aria-current', 'true');
  made.append(...COLUMNS.map((column, at) => {
    const each = cell('td', column), value = row[column.key], text = column.text ? column.text(value) : String(value);
    if (at) each.textContent = text;
    else {
      const press = document.createElement('button');
      press.type = 'button';
      press.textContent = text;
      each.append(press);
    }
    return each;
  }));
  made.addEventListener('click', () => open(row.index));
  return made;
}
function render() {
  const found = matching(), shown = found.slice(0, MOST_ROWS);
  renderHead();
  body.replaceChildren(...shown.map(renderRow));
  more.hidden = shown.length === found.length;
  more.textContent = `${shown.length} of ${found.length} shown: find by words to see the others`;
  find('.ic-count').textContent = found.length === rows.length ? `${rows.length}` : `${found.length} of ${rows.length}`;
  root.dataset.rows = shown.length;
}
function mark() {
  const open = list()?.open;
  for (const row of body.children) {
    if (Number(row.dataset.index) !== open) row.removeAttribute('aria-current');
    else if (!row.hasAttribute('aria-current')) {
      row.setAttribute('aria-current', 'true');
      row.scrollIntoView({block: 'nearest'});
    }
  }
}
async function changed() {
  const key = list()?.key ?? null, line = find('.ic-line');
  line.hidden = !props.value?.error;
  line.textContent = props.value?.error ? props.value.message : '';
  root.hidden = key === null;
  if (key === loaded) return mark();
  loaded = key;
  rows = [];
  const answer = key === null ? null : await fetch(`/s/${props.value.handle}/cases`);
  if (key !== loaded) return;
  const found = answer?.ok ? await answer.json() : [];
  if (key !== loaded) return;
  rows = found.map((row, index) => ({...row, index, text: `${row.case} ${row.policy} ${row.segmenter} ${row.request} ${row.stop}`.toLowerCase()}));
  render();
}

words.addEventListener('input', render);
for (const press of root.querySelectorAll('[data-go]')) press.addEventListener('click', () => go(Number(press.dataset.go)));
watch('value', changed);
changed();
