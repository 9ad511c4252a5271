// Masks: COCO run lengths to bits, bits to a tinted bitmap and to the path of their pixel edges; each made once.

const MASK = [86, 180, 233], GAINED = [0, 158, 115], LOST = [230, 159, 0];
const FOUND = [0, 158, 115], MISSED = [240, 228, 66], SPILLED = [213, 94, 0];

/** Decode the compressed counts of a COCO mask; alternating lengths of runs of 0 and 1. */
function decodeCounts(text) {
  const counts = [];
  for (let i = 0; i < text.length;) {
    let value = 0, shift = 0, more = true;
    while (more) {
      const five = text.charCodeAt(i++) - 48;
      value |= (five & 31) << 5 * shift++;
      more = Boolean(five & 32);
      if (!more && five & 16) value |= -1 << 5 * shift;
    }
    if (counts.length > 2) value += counts[counts.length - 2];
    counts.push(value);
  }
  return counts;
}

/** Decode a COCO mask (column-major) to bits in rows. */
function decodeMask({size: [height, width], counts}) {
  const bits = new Uint8Array(height * width);
  let at = 0, on = false;
  for (const length of typeof counts === 'string' ? decodeCounts(counts) : counts) {
    if (on) for (let k = at; k < at + length; k++) bits[(k % height) * width + Math.floor(k / height)] = 1;
    at += length;
    on = !on;
  }
  return bits;
}

/** A path along the edges between set and unset pixels, in pixel coordinates. */
function edgePath(bits, width, height) {
  const path = new Path2D();
  const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : bits[y * width + x]);
  for (let y = 0; y <= height; y++) {
    for (let x = 0, from = -1; x <= width; x++) {
      const edge = x < width && at(x, y - 1) !== at(x, y);
      if (edge && from < 0) from = x;
      if (!edge && from >= 0) { path.moveTo(from, y); path.lineTo(x, y); from = -1; }
    }
  }
  for (let x = 0; x <= width; x++) {
    for (let y = 0, from = -1; y <= height; y++) {
      const edge = y < height && at(x - 1, y) !== at(x, y);
      if (edge && from < 0) from = y;
      if (!edge && from >= 0) { path.moveTo(x, from); path.lineTo(x, y); from = -1; }
    }
  }
  return path;
}

/** What is made of masks, the last 64 of each kind. */
class MaskCache {
  constructor() { this.kept = new Map(); }

  once(key, make) {
    if (!this.kept.has(key)) {
      this.kept.set(key, make());
      if (this.kept.size > 64) this.kept.delete(this.kept.keys().next().value);
    }
    return this.kept.get(key);
  }

  clear() { this.kept.clear(); }

  bits(rle) { return this.once(`bits ${rle.size} ${rle.counts}`, () => decodeMask(rle)); }

  /** {bitmap, path} of some pixels: `parts` lists [bits, colour]; the path is of the first. */
  layer(key, [height, width], parts) {
    return this.once(`layer ${key}`, () => {
      const bitmap = new OffscreenCanvas(width, height), data = new ImageData(width, height);
      const pixels = new Uint32Array(data.data.buffer);
      const made = parts();
      for (const [bits, [red, green, blue]] of made) {
        const colour = (255 << 24 | blue << 16 | green << 8 | red) >>> 0;
        for (let i = 0; i < bits.length; i++) if (bits[i]) pixels[i] = colour;
      }
      bitmap.getContext('2d').putImageData(data, 0, 0);
      return {bitmap, path: edgePath(made[0][0], width, height)};
    });
  }

  plain(rle) { return this.layer(`mask ${rle.counts}`, rle.size, () => [[this.bits(rle), MASK]]); }

  /** What a step added to the mask before it, and what it took away. */
  change(rle, before) {
    return this.layer(`change ${rle.counts} ${before?.counts}`, rle.size, () => {
      const now = this.bits(rle), was = before ? this.bits(before) : new Uint8Array(now.length);
      return [[now, MASK], [now.map((bit, i) => bit & ~was[i]), GAINED], [was.map((bit, i) => bit & ~now[i]), LOST]];
    });
  }

  /** Where a mask agrees with the true one, what it misses, and where it spills. */
  errors(rle, truth) {
    return this.layer(`errors ${rle.counts} ${truth.counts}`, rle.size, () => {
      const now = this.bits(rle), real = this.bits(truth);
      return [[now, SPILLED], [real, MISSED], [now.map((bit, i) => bit & real[i]), FOUND]];
    });
  }
}
