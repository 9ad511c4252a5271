// Slices and windows: while the slider moves, slices come straight from this server; where it rests, the view is set.

class VolumeControls {
  /** `act`: {preview(bitmap), view({slice, window})}. */
  constructor(bar, act) {
    this.bar = bar;
    this.act = act;
    this.wanted = null;
    this.fetching = false;
    const get = name => bar.querySelector(`[data-${name}]`);
    [this.plane, this.slice, this.window, this.center, this.width] = ['plane', 'slice', 'window', 'center', 'width'].map(get);
    this.plane.addEventListener('change', () => this.choose(this.plane.value, Math.floor(this.counts[this.plane.value] / 2)));
    this.slice.addEventListener('input', () => { this.label(); this.preview(); });
    this.slice.addEventListener('change', () => this.choose(this.plane.value, Number(this.slice.value)));
    this.window.addEventListener('change', () => this.window.value && act.view({slice: null, window: this.window.value}));
    for (const field of [this.center, this.width]) field.addEventListener('change', () => {
      if (this.center.value !== '' && Number(this.width.value) > 0) act.view({slice: null, window: `${this.center.value},${this.width.value}`});
    });
  }

  part(name, shown) { this.bar.querySelector(`[data-part=${name}]`).hidden = !shown; }

  show(handle, picture) {
    const slices = picture?.slices ?? null, windows = picture?.windows ?? [], free = Boolean(picture?.free_window);
    this.handle = handle;
    this.bar.hidden = !slices && !windows.length && !free;
    this.part('plane', slices && Object.keys(slices.counts).length > 1);
    this.part('slice', slices);
    this.part('window', windows.length);
    this.part('free', free);
    if (slices) this.showSlices(slices);
    const current = picture?.window ?? '';
    this.fill(this.window, windows.includes(current) ? windows : ['', ...windows], name => name || 'as set', current);
  }

  showSlices({counts, plane, index}) {
    this.counts = counts;
    this.fill(this.plane, Object.keys(counts), name => name, plane);
    if (this.wanted !== null || document.activeElement === this.slice && this.slice.matches(':active')) return;
    this.slice.max = counts[plane] - 1;
    this.slice.value = index;
    this.label();
  }

  fill(select, values, name, current) {
    const key = values.join('\n');
    if (select.dataset.values !== key) {
      select.dataset.values = key;
      select.replaceChildren(...values.map(value => new Option(name(value), value)));
    }
    select.value = values.includes(current) ? current : values[0] ?? '';
  }

  label() { this.slice.nextElementSibling.textContent = `${Number(this.slice.value) + 1} of ${Number(this.slice.max) + 1}`; }

  choose(plane, index) { this.act.view({slice: plane === 'frame' ? String(index) : `${plane}:${index}`, window: null}); }

  /** One request at a time; when it is there, the newest wish is next. */
  async preview() {
    this.wanted = Number(this.slice.value);
    if (this.fetching) return;
    this.fetching = true;
    try {
      for (let index = -1; index !== this.wanted;) {
        index = this.wanted;
        const answer = await fetch(`/s/${this.handle}/slice/${this.plane.value}/${index}${this.windowQuery()}`);
        if (answer.ok) this.act.preview(await createImageBitmap(await answer.blob()));
      }
    } finally {
      this.fetching = false;
      this.wanted = null;
    }
  }

  windowQuery() {
    const {center, width} = this, free = center.value !== '' && Number(width.value) > 0;
    const window = this.window.value || (free ? `${center.value},${width.value}` : '');
    return window ? `?window=${encodeURIComponent(window)}` : '';
  }
}
