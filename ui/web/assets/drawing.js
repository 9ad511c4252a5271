// The canvas: the picture, the mask over it, and the markers of the prompts, which keep their size on the screen.

const POSITIVE = '#0072b2', NEGATIVE = '#d55e00';

/** Steps whose prompt is in force after the first `count`: not undone, and of the same request. */
function activePrompts(steps, count, requests) {
  const active = new Map(), firsts = new Set((requests || []).map(request => request.first_step));
  for (const step of steps.slice(0, count)) {
    if (firsts.has(step.index)) active.clear();
    if (step.reverts) active.delete(step.reverts);
    if (step.restores) active.set(step.restores, steps.find(other => other.index === step.restores));
    const kind = step.action?.type;
    if (step.outcome === 'applied' && ['point', 'box', 'similar'].includes(kind)) active.set(step.index, step);
  }
  return [...active.values()].filter(Boolean);
}

class Painter {
  constructor(canvas, viewport) {
    this.canvas = canvas;
    this.viewport = viewport;
    this.context = canvas.getContext('2d');
  }

  resize() {
    const box = this.viewport.box, ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(box.width * ratio));
    this.canvas.height = Math.max(1, Math.round(box.height * ratio));
  }

  /** `layer`: {bitmap, path} or null; `look`: {opacity, outline, split}; `prompts`: steps with a prompt. */
  draw(picture, layer, look, prompts) {
    const {context, canvas, viewport} = this, ratio = canvas.width / Math.max(1, viewport.box.width);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!picture) return;
    const pixels = viewport.scale * ratio;
    const toPicture = () => context.setTransform(pixels, 0, 0, pixels, viewport.x * ratio, viewport.y * ratio);
    toPicture();
    context.imageSmoothingEnabled = pixels < 2;
    context.imageSmoothingQuality = 'high';
    context.drawImage(picture, 0, 0);
    context.save();
    if (look.split !== null) {
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.beginPath();
      context.rect(look.split * canvas.width, 0, canvas.width, canvas.height);
      context.clip();
      toPicture();
    }
    if (layer) this.drawLayer(layer, look);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    for (const step of prompts) this.drawPrompt(step);
    context.restore();
  }

  drawLayer({bitmap, path}, {opacity, outline}) {
    const {context, viewport} = this;
    if (!outline) {
      context.globalAlpha = opacity;
      context.imageSmoothingEnabled = false;
      context.drawImage(bitmap, 0, 0);
      context.globalAlpha = 1;
    }
    context.lineWidth = 2.6 / viewport.scale;
    context.strokeStyle = 'rgba(0, 0, 0, .55)';
    context.stroke(path);
    context.lineWidth = 1.3 / viewport.scale;
    context.strokeStyle = '#fff';
    context.stroke(path);
  }

  drawPrompt({action, index}) {
    const {context, viewport} = this;
    context.lineWidth = 2;
    context.strokeStyle = '#fff';
    if (action.type === 'box') {
      const [left, top] = viewport.toStage(action.x0, action.y0);
      const [right, bottom] = viewport.toStage(action.x1, action.y1);
      context.setLineDash([6, 4]);
      context.strokeRect(left, top, right - left, bottom - top);
      context.setLineDash([]);
      this.drawMarker(left, top, index, POSITIVE, 'square');
    } else {
      const [x, y] = viewport.toStage(action.x, action.y);
      const shape = action.type === 'similar' ? 'diamond' : action.positive ? 'disc' : 'square';
      this.drawMarker(x, y, index, action.positive ? POSITIVE : NEGATIVE, shape);
    }
  }

  drawMarker(x, y, index, colour, shape) {
    const {context} = this;
    context.beginPath();
    if (shape === 'square') context.rect(x - 8, y - 8, 16, 16);
    else if (shape === 'diamond') {
      for (const [across, down] of [[-13, 0], [0, -13], [13, 0], [0, 13]]) context.lineTo(x + across, y + down);
      context.closePath();
    }
    else context.arc(x, y, 9, 0, 2 * Math.PI);
    context.fillStyle = colour;
    context.fill();
    context.lineWidth = 2;
    context.strokeStyle = '#fff';
    context.stroke();
    context.fillStyle = '#fff';
    context.font = `bold ${index > 99 ? 9 : 11}px system-ui, sans-serif`;
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    context.fillText(index, x, y + 0.5);
  }
}
