// What is said in one line about the session: each way to end looks and reads differently.

const OUTCOMES = {
  done: ['✓', 'Done. Correct it with a click, refine it with a sentence, or accept it.'],
  absent: ['∅', 'Not in the picture: the model is sure that there is nothing to segment. The mask is empty.'],
  declined: ['?', 'The model cannot tell, so it asserts nothing. Mark it yourself, or ask in other words.'],
  failed: ['!', 'Something failed; the mask in force is kept. Try again, or go on by hand.'],
  cancelled: ['■', 'Stopped. The mask in force is kept.'],
  waiting: ['•', 'Your turn: correct it with a click, or let the model go on.'],
};

/** {kind, sign, text} of a snapshot. */
function describeOutcome(snapshot, stepCount) {
  if (snapshot.error) return {kind: 'error', sign: '!', text: snapshot.message};
  if (snapshot.running) return {kind: 'running', sign: '◌', text: stepCount ? `Step ${stepCount} done, thinking …` : 'Looking at the picture …'};
  if (!snapshot.picture) return {kind: '', sign: '', text: snapshot.message || 'Open a scan or an example to begin.'};
  if (snapshot.accepted) return {kind: 'done', sign: '✓', text: 'Accepted. Take the mask home below, or keep correcting it.'};
  if (snapshot.request === null) {
    const text = snapshot.picture.manual_first ? 'Click on the structure to mark it yourself.' : 'Say what to segment, or click on it yourself.';
    return {kind: 'waiting', sign: '•', text: snapshot.message || text};
  }
  if (snapshot.answer && !snapshot.mask?.counts) return {kind: 'done', sign: '✓', text: 'Answered; see the conversation.'};
  const [sign, text] = OUTCOMES[snapshot.stop_kind];
  const said = ['failed', 'waiting', 'cancelled'].includes(snapshot.stop_kind) && snapshot.message;
  return {kind: snapshot.stop_kind, sign, text: said || text};
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
