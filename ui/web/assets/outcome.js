// What is said in one line about the session: each way to end looks different, and the server's line says which it is.

const SIGNS = {done: '✓', absent: '∅', declined: '?', failed: '!', cancelled: '■', waiting: '•'};

/** {kind, sign, text} of a snapshot. */
function describeOutcome(snapshot, stepCount) {
  if (snapshot.error) return {kind: 'error', sign: '!', text: snapshot.message};
  if (snapshot.running) return {kind: 'running', sign: '◌', text: snapshot.message || (stepCount ? `Step ${stepCount} done, thinking …` : 'At work …')};
  if (!snapshot.picture) return {kind: '', sign: '', text: snapshot.message || 'Open a scan or an example to begin.'};
  if (snapshot.request === null) {
    const text = snapshot.picture.manual_first ? 'Click on the structure to mark it yourself.' : 'Say what to segment, or click on it yourself.';
    return {kind: 'waiting', sign: SIGNS.waiting, text: snapshot.message || text};
  }
  return {kind: snapshot.stop_kind, sign: SIGNS[snapshot.stop_kind], text: snapshot.message};
}

/** What a request began with, in words. */
function describeStart(start) {
  if (start.by === null) return 'Initial mask';
  return start.mask ? `Proposed by ${start.by}, before any click` : `Nothing proposed by ${start.by}`;
}

/** A step's figures in one line. */
function describeFigures(step) {
  const figures = [];
  if (step.score !== null) figures.push(`score ${step.score.toFixed(2)}`);
  figures.push(`${step.area_px.toLocaleString('en')} px`);
  if (step.area_mm2 !== null) figures.push(`${step.area_mm2.toLocaleString('en', {maximumFractionDigits: 0})} mm²`);
  if (step.iou !== null) figures.push(`IoU ${step.iou.toFixed(2)}`);
  figures.push(`${step.seconds.toFixed(1)} s`);
  return figures.join(' · ');
}
