// Pointers on the stage: a click, a box, a drag that moves the picture, two fingers or the wheel that zoom.

/** `act`: {click(x, y, positive, alike), box(x0, y0, x1, y1), redraw()}; `tool()`: positive, negative, box, similar or move. */
class Gestures {
  constructor(stage, viewport, frame, tool, act) {
    Object.assign(this, {stage, viewport, frame, tool, act, fingers: new Map(), drag: null, spaced: false});
    stage.addEventListener('wheel', event => this.wheel(event), {passive: false});
    stage.addEventListener('pointerdown', event => this.down(event));
    stage.addEventListener('pointermove', event => this.move(event));
    for (const name of ['pointerup', 'pointercancel']) stage.addEventListener(name, event => this.up(event));
    for (const name of ['contextmenu', 'dblclick']) stage.addEventListener(name, event => event.preventDefault());
  }

  wheel(event) {
    if (!this.viewport.picture) return;
    event.preventDefault();
    const [x, y] = this.viewport.place(event), lines = event.deltaMode ? 20 : 1;
    this.viewport.zoom(x, y, Math.exp(-clamp(event.deltaY * lines, -300, 300) / 400));
    this.act.redraw();
  }

  down(event) {
    if (!this.viewport.picture || event.target.closest('button, [role=slider]')) return;
    this.stage.setPointerCapture(event.pointerId);
    this.stage.focus({preventScroll: true});
    const from = this.viewport.place(event), {x, y} = this.viewport;
    this.fingers.set(event.pointerId, from);
    const moves = this.tool() === 'move' || event.button === 1 || this.spaced;
    const kind = moves ? 'move' : this.tool() === 'box' && event.button === 0 ? 'box' : 'click';
    const positive = !(event.button === 2 || event.shiftKey || this.tool() === 'negative');
    const alike = this.tool() === 'similar';
    this.drag = this.fingers.size > 1 ? null : {from, origin: [x, y], kind, positive, alike, moved: false};
    if (event.button === 1) event.preventDefault();
  }

  move(event) {
    if (!this.fingers.has(event.pointerId)) return;
    const was = this.fingers.get(event.pointerId), now = this.viewport.place(event);
    this.fingers.set(event.pointerId, now);
    if (this.fingers.size === 2) return this.pinch(event.pointerId, was, now);
    if (!this.drag) return;
    const across = now[0] - this.drag.from[0], down = now[1] - this.drag.from[1];
    this.drag.moved ||= Math.hypot(across, down) > 4;
    if (!this.drag.moved) return;
    if (this.drag.kind === 'box') return this.showFrame(this.drag.from, now);
    this.viewport.moveTo(this.drag.origin[0] + across, this.drag.origin[1] + down);
    this.act.redraw();
  }

  pinch(moved, was, now) {
    const [, other] = [...this.fingers].find(([id]) => id !== moved);
    const distance = ([x, y]) => Math.max(1, Math.hypot(x - other[0], y - other[1]));
    this.viewport.x += (now[0] - was[0]) / 2;
    this.viewport.y += (now[1] - was[1]) / 2;
    this.viewport.zoom((now[0] + other[0]) / 2, (now[1] + other[1]) / 2, distance(now) / distance(was));
    this.act.redraw();
  }

  up(event) {
    if (!this.fingers.delete(event.pointerId)) return;
    const drag = this.drag, now = this.viewport.place(event);
    this.drag = null;
    this.frame.hidden = true;
    if (!drag || event.type === 'pointercancel') return;
    if (drag.kind === 'box' && drag.moved) {
      const [ax, ay] = this.unit(drag.from), [bx, by] = this.unit(now);
      const box = [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
      if (box[0] < box[2] && box[1] < box[3]) this.act.box(...box);
    } else if (drag.kind === 'click' && !drag.moved) {
      const [x, y] = this.viewport.toUnit(now);
      if (x >= 0 && x < 1 && y >= 0 && y < 1) this.act.click(x, y, drag.positive, drag.alike);
    }
  }

  unit(place) { return this.viewport.toUnit(place).map(value => clamp(value, 0, 1)); }

  showFrame([ax, ay], [bx, by]) {
    this.frame.hidden = false;
    this.frame.style.left = `${Math.min(ax, bx)}px`;
    this.frame.style.top = `${Math.min(ay, by)}px`;
    this.frame.style.width = `${Math.abs(ax - bx)}px`;
    this.frame.style.height = `${Math.abs(ay - by)}px`;
  }
}
