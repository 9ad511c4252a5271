// Where the picture lies on the stage: CSS pixels of the stage = offset + scale * picture pixels.

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

class Viewport {
  constructor(stage) {
    this.stage = stage;
    this.picture = null;
    this.fit = 1;
    this.scale = 1;
    this.x = 0;
    this.y = 0;
  }

  get box() { return this.stage.getBoundingClientRect(); }

  measureFit() {
    const box = this.box;
    return Math.min(box.width / this.picture.width, box.height / this.picture.height) || 1;
  }

  /** Show the whole picture. */
  reset() {
    if (!this.picture) return;
    this.scale = this.fit = this.measureFit();
    this.hold();
  }

  /** Keep the part that is shown when the stage changes its size. */
  resize() {
    if (!this.picture) return;
    const fit = this.measureFit(), factor = fit / this.fit;
    this.fit = fit;
    this.scale *= factor;
    this.x *= factor;
    this.y *= factor;
    this.hold();
  }

  /** Never lose the picture: centred at fit, else the stage's middle is on it; so what is under the pointer stays there. */
  hold() {
    const box = this.box, width = this.picture.width * this.scale, height = this.picture.height * this.scale;
    const centred = this.scale <= this.fit * 1.001;
    this.x = centred ? (box.width - width) / 2 : clamp(this.x, box.width / 2 - width, box.width / 2);
    this.y = centred ? (box.height - height) / 2 : clamp(this.y, box.height / 2 - height, box.height / 2);
  }

  zoom(x, y, factor) {
    const scale = clamp(this.scale * factor, this.fit, Math.max(this.fit * 4, 40));
    factor = scale / this.scale;
    this.x = x - (x - this.x) * factor;
    this.y = y - (y - this.y) * factor;
    this.scale = scale;
    this.hold();
  }

  moveTo(x, y) {
    this.x = x;
    this.y = y;
    this.hold();
  }

  /** Place of a pointer event on the stage, in CSS pixels, read when it happens. */
  place(event) {
    const box = this.box;
    return [event.clientX - box.left, event.clientY - box.top];
  }

  /** Unit coordinates of a place on the stage, x to the right, y down; outside the picture beyond [0, 1). */
  toUnit([x, y]) {
    return [(x - this.x) / this.scale / this.picture.width, (y - this.y) / this.scale / this.picture.height];
  }

  /** The place on the stage of unit coordinates. */
  toStage(x, y) {
    return [this.x + x * this.picture.width * this.scale, this.y + y * this.picture.height * this.scale];
  }
}
