// The branches as a tree: one lane each, steps from left to right, a curve from where it leaves its parent.

const ENDS = {target_absent: 'not there', declined: 'cannot tell', terminated: 'done', cancelled: 'stopped'};

/** `chosen`: number of the shown step; `press(branch, count)` shows a step of a branch. */
function drawTree(branches, chosen, press) {
  const lane = 30, left = 14, most = Math.max(1, ...branches.map(branch => branch.steps));
  const gap = Math.min(38, 300 / most), width = left + most * gap + 110;
  const tree = svg('svg', {viewBox: `0 0 ${width} ${branches.length * lane + 4}`, class: 'id-tree', role: 'group', 'aria-label': 'Branches', style: `max-width:${width}px`});
  const lanes = new Map(branches.map((branch, row) => [branch.index, row]));
  const x = count => left + count * gap, y = row => row * lane + lane / 2;
  branches.forEach((branch, row) => {
    const from = branch.parent === null ? 0 : branch.first_step - 1, kind = branch.active ? 'id-lane id-active' : 'id-lane';
    if (branch.parent !== null) {
      const start = y(lanes.get(branch.parent)), end = y(row), bend = x(from + 0.5);
      tree.append(svg('path', {class: kind, d: `M${x(from)},${start} C${bend},${start} ${x(from)},${end} ${x(from + 1)},${end}`}));
    } else tree.append(svg('line', {class: kind, x1: x(0), y1: y(row), x2: x(Math.min(1, branch.steps)), y2: y(row)}));
    tree.append(svg('line', {class: kind, x1: x(from + 1), y1: y(row), x2: x(Math.max(branch.steps, from + 1)), y2: y(row)}));
    for (let count = branch.parent === null ? 0 : from + 1; count <= branch.steps; count++) {
      const on = branch.active && count === chosen;
      const dot = svg('circle', {cx: x(count), cy: y(row), r: on ? 7 : 5, class: on ? 'id-point id-chosen' : branch.active ? 'id-point' : 'id-point id-away'});
      tree.append(asButton(dot, `Branch ${row + 1}, ${count ? `step ${count}` : 'start'}`, () => press(branch, count)));
    }
    const name = svg('text', {x: x(branch.steps) + 12, y: y(row) + 4, class: branch.active ? 'id-value' : 'id-name'},
      branch.active ? 'shown' : ENDS[branch.stop] || (branch.stop ? branch.stop.replaceAll('_', ' ') : 'open'));
    tree.append(branch.active ? name : asButton(name, `Switch to branch ${row + 1}`, () => press(branch, branch.steps)));
  });
  return tree;
}
