// Score, area and IoU over the steps: one small row each, as inline SVG.

const SVG = 'http://www.w3.org/2000/svg';

/** An SVG element with attributes and children; a string child is text. */
function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Make a shape a button: reachable by key and named for a screen reader. */
function asButton(shape, name, press) {
  shape.setAttribute('role', 'button');
  shape.setAttribute('tabindex', '0');
  shape.prepend(svg('title', {}, name));
  shape.addEventListener('click', press);
  shape.addEventListener('keydown', event => {
    if (event.key !== 'Enter' && event.key !== ' ') return;
    event.preventDefault();
    press();
  });
  return shape;
}

const SERIES = [
  {name: 'Score', read: step => step.score, top: () => 1, text: value => value.toFixed(2)},
  {name: 'Area', read: step => step.area_px, top: values => Math.max(1, ...values), text: value => `${value.toLocaleString('en')} px`},
  {name: 'IoU', read: step => step.iou, top: () => 1, text: value => value.toFixed(2)},
];

/** `start`: figures of the mask before the first step, or null; `chosen`: number of the shown step; `choose(count)` shows another. */
function drawPlot(start, taken, chosen, choose) {
  const steps = start ? [{...start, index: 0, actor: 'start'}, ...taken] : taken, before = start ? 0 : 1;
  const rows = SERIES.filter(series => steps.some(step => series.read(step) !== null));
  const width = 420, left = 56, right = 84, high = 54, gap = 20;
  const plot = svg('svg', {viewBox: `0 0 ${width} ${rows.length * (high + gap) + 16}`, class: 'id-plot', role: 'group', 'aria-label': 'Figures over the steps'});
  const across = index => left + (steps.length < 2 ? 0.5 : index / (steps.length - 1)) * (width - left - right);
  rows.forEach((series, row) => {
    const values = steps.map(series.read), known = values.filter(value => value !== null), top = series.top(known);
    const low = row * (high + gap) + high + 4, up = value => low - value / top * (high - 8);
    plot.append(
      svg('line', {x1: left - 10, x2: width - right + 10, y1: low, y2: low, class: 'id-axis'}),
      svg('text', {x: 0, y: low - high / 2 + 4, class: 'id-name'}, series.name),
      svg('polyline', {class: 'id-line', points: values.map((value, i) => value === null ? '' : `${across(i)},${up(value)}`).join(' ')}),
    );
    const last = values.at(-1);  // none beside a last step without one
    if (last !== null) plot.append(svg('text', {x: width, y: up(last) + 4, 'text-anchor': 'end', class: 'id-value'}, series.text(last)));
    values.forEach((value, i) => {
      if (value === null) return;
      const step = steps[i], count = i + before, x = across(i), y = up(value), person = step.actor === 'person';
      const shape = person ? svg('rect', {x: x - 4, y: y - 4, width: 8, height: 8}) : svg('circle', {cx: x, cy: y, r: 4.5});
      shape.setAttribute('class', count === chosen ? 'id-point id-chosen' : 'id-point');
      plot.append(asButton(shape, `${series.name} ${count ? `after step ${step.index}` : 'at the start'}: ${series.text(value)}`, () => choose(count)));
    });
  });
  const every = Math.ceil(steps.length / 12), floor = rows.length * (high + gap) + 8;
  steps.forEach((step, i) => i % every || plot.append(svg('text', {x: across(i), y: floor, 'text-anchor': 'middle', class: 'id-tick'}, String(step.index))));
  return plot;
}
