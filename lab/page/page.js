// The page of a lab: it draws what /api/lab/watch tells, and nothing that it does not.

import { $, changed, proof, size } from './kit.js';
import * as map from './map.js';
import * as side from './side.js';

let state = null;

const numbers = ['', '', 'Two', 'Three', 'Four', 'Five', 'Six', 'Seven', 'Eight', 'Nine', 'Ten', 'Eleven', 'Twelve'];

function draw() {
  const n = state.neighbours.length;
  const title = state.title || `${numbers[n] ?? n} pretend neighbours`;
  document.title = `${title} · Kith`;
  changed($('title'), title);
  if (state.about) changed($('about'), state.about);
  changed($('here'), `${state.neighbours.filter((p) => !p.away).length} of ${n}`);
  changed($('links'), `${state.wires.filter((w) => w.how !== 'lost').length}`);
  changed($('relayed'), `${state.wires.filter((w) => w.how === 'relayed').length}`);
  changed($('rate'), `${size(state.wires.reduce((sum, w) => sum + w.a_to_b + w.b_to_a, 0))}/s`);
  changed($('moved'), size(state.moved));
  $('join').hidden = !state.connect;
  changed($('connect'), `kith connect ${state.connect}`);
  if (!$('legend').children.length) map.legend($('legend'), new Set(state.neighbours.map((p) => p.nat).filter(Boolean)));
  map.draw(state);
  side.draw(state);
  if (state.result) side.note(`The scenario is over: ${state.result.ok ? 'all came out as expected.' : 'not all came out as expected.'}`);
}

// watch hands each state of the lab to see, until the lab ends.
async function watch(see) {
  const answer = await fetch('/api/lab/watch', { headers: proof() });
  if (!answer.ok) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ''; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
      const data = text.slice(0, end).split('\n').filter((line) => line.startsWith('data:'));
      if (data.length) see(JSON.parse(data.map((line) => line.slice(5)).join('\n')));
    }
  }
}

async function begin() {
  const code = new URLSearchParams(location.hash.slice(1)).get('open');
  history.replaceState(null, '', location.pathname);
  if (code) {
    const answer = await fetch('/api/session', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ code }) });
    if (answer.ok) sessionStorage.setItem('kith-page', (await answer.json()).proof);
  }
  const redraw = () => state && draw();
  side.begin(redraw);
  map.begin(side.pick);
  $('list').addEventListener('toggle', redraw);
  const seen = (now) => {
    side.note('');
    state = now;
    draw();
  };
  watch(seen)
    .catch(() => undefined)
    .then(() => {
      map.stop();
      const over = state?.result && (state.result.ok ? ' All came out as expected.' : ' Not all came out as expected.');
      side.note(state ? `The neighbours have moved out: the lab has ended.${over ?? ''}` : 'This address is used up. Open the lab again: its command prints a new one.');
    });
}

begin();
