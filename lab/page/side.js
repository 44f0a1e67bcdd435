// What stands beside the picture: one neighbour, the plan, what there is, what happens, and all of it as a table.

import { $, ask, button, changed, colour, counts, html, nats, rate, size } from './kit.js';
import { view } from './map.js';

let state = null;
let redraw = () => {};

export function begin(again) {
  redraw = again;
  $('unpick').addEventListener('click', () => pick(-1));
  document.addEventListener('keydown', (e) => {
    if (e.key === 'Escape' && view.who >= 0 && !$('look').open) pick(-1);
  });
  $('look').addEventListener('close', () => $('look-body').replaceChildren());
  document.querySelector('[data-copy=connect]').addEventListener('click', (e) => copy(e.currentTarget, $('connect').textContent));
}

export function draw(next) {
  state = next;
  drawPicked();
  drawScript();
  drawSamples();
  drawFeed();
  drawTable();
}

async function copy(b, text) {
  const was = b.textContent;
  try {
    await navigator.clipboard.writeText(text);
    b.textContent = 'Copied';
  } catch {
    b.textContent = 'Not allowed';
  }
  setTimeout(() => (b.textContent = was), 1500);
}

// ---- one neighbour

let shown = ''; // what the buttons of the picked neighbour were made for

export function pick(who) {
  view.who = view.who === who ? -1 : who;
  shown = '';
  changed($('picked-said'), '');
  redraw();
  if (view.who >= 0) $('picked-name').focus({ preventScroll: true });
}

// act does something to the lab, and says what came of it.
async function act(b, words, op, input) {
  b.disabled = true;
  changed($('picked-said'), `${words} …`);
  try {
    const out = await ask(op, input);
    changed($('picked-said'), out.what ? `It shares ${out.what}.` : '');
    return out;
  } catch (e) {
    changed($('picked-said'), e.message);
  } finally {
    b.disabled = false;
  }
}

function drawPicked() {
  const n = state.neighbours[view.who];
  $('picked').hidden = !n;
  if (!n) return;
  const c = counts(state, view.who);
  const number = `${view.who + 1}`;
  changed($('picked-name'), `${number} · ${n.name}${n.group ? `, of ${n.group}` : ''}`);
  const via = new Set(state.wires.filter((w) => w.how === 'relayed' && w.via >= 0 && (w.a === view.who || w.b === view.who)).map((w) => state.neighbours[w.via].name));
  const lines = [
    n.away ? 'Away: it was killed, and told nobody.' : `${c.direct} direct${c.relayed ? `, ${c.relayed} relayed${via.size ? ` through ${[...via].join(' and ')}` : ''}` : ''}.`,
    n.nat ? `Behind ${nats[n.nat] ?? n.nat}.` : '',
    [n.down > 500 && `↓ ${rate(n.down)}`, c.up > 500 && `↑ ${rate(c.up)}`].filter(Boolean).join('  '),
  ];
  changed($('picked-about'), lines.filter(Boolean).join(' '));
  const missing = n.have.map((h, s) => s).filter((s) => n.have[s] < 0 && state.samples[s].owner !== view.who);
  const want = [view.who, !!n.away, missing.join()].join();
  if (shown !== want) {
    shown = want;
    const acts = $('picked-acts');
    const had = acts.contains(document.activeElement);
    acts.replaceChildren();
    const first = n.away
      ? button(acts, 'Revive', `Revive ${n.name}`, (e) => act(e.currentTarget, `${n.name} comes back`, 'revive', { who: [number] }))
      : button(acts, 'Kill', `Kill ${n.name}`, (e) => act(e.currentTarget, `${n.name} goes`, 'kill', { who: [number] }));
    if (!n.away) {
      button(acts, 'Share something', `Share something: ${n.name}`, (e) => act(e.currentTarget, 'It makes something', 'share', { who: number }));
      if (state.pages) {
        button(acts, 'Open its page', `Open its page: ${n.name}`, async (e) => {
          const tab = window.open('', '_blank');
          const out = await act(e.currentTarget, 'Its page opens', 'page', { who: number });
          if (out && tab) tab.location = out.url;
          else tab?.close();
        });
      }
      for (const s of missing.slice(0, 6)) {
        const get = button(acts, `Get ${state.samples[s].name}`, '', (e) => act(e.currentTarget, 'It asks', 'get', { what: state.samples[s].name, who: [number] }));
        get.style.borderLeft = `4px solid ${colour(s)}`;
      }
    }
    if (had) first.focus();
  }
  const list = $('picked-has');
  const held = n.have.map((h, s) => [h, s]).filter(([h]) => h >= 0);
  while (list.children.length > held.length) list.lastChild.remove();
  held.forEach(([h, s], i) => {
    const li = list.children[i] ?? html('li', '', '', list);
    li.style.setProperty('--part', `${h * 100}%`);
    li.style.setProperty('--colour', colour(s));
    changed(li, `${state.samples[s].name}: ${h === 1 ? 'all' : `${Math.floor(h * 100)} %`}${n.from[s] > 0 && h < 1 ? `, from ${n.from[s]}` : ''}`);
  });
}

// ---- the plan

const marks = { 'to come': '○', done: '●', met: '✓', missed: '✗', failed: '✗' };

function drawScript() {
  const script = state.script ?? [];
  $('script-card').hidden = !script.length;
  changed($('clock'), `${Math.floor(state.seconds / 60)}:${String(Math.floor(state.seconds % 60)).padStart(2, '0')}`);
  const list = $('script');
  script.forEach((line, i) => {
    const li = list.children[i] ?? html('li', '', '', list);
    li.className = line.is.replace(' ', '-');
    const when = line.is === 'met' ? ` (at ${line.when.toFixed(0)} s)` : line.not ? ` (not ${line.not})` : '';
    changed(li, `${marks[line.is]} ${line.want ? 'expected: ' : `${line.at.toFixed(0)} s: `}${line.text}${when}`);
    li.setAttribute('aria-label', `${line.is}: ${line.text}${when}`);
  });
}

// ---- samples

function drawSamples() {
  const list = $('samples');
  while (list.children.length < state.samples.length) sampleRow(list, list.children.length);
  $('no-samples').hidden = state.samples.length > 0;
  state.samples.forEach((s, i) => {
    const have = state.neighbours.filter((n) => n.have[i] === 1).length;
    changed(list.children[i].querySelector('.about'), `${size(s.size)} · from ${state.neighbours[s.owner].name} · ${have} of ${state.neighbours.length} have it`);
  });
}

function sampleRow(list, i) {
  const s = state.samples[i];
  const li = html('li', '', undefined, list);
  html('span', 'dot', '', li).style.background = colour(i);
  html('span', 'name', s.name, li).title = s.name;
  html('span', 'about', '', li);
  const acts = html('span', 'acts', undefined, li);
  if (/\.(png|gif|wav)$/.test(s.name)) button(acts, 'Look', `Look at ${s.name}`, () => look(i));
  if (state.connect) button(acts, 'Copy link', `Copy the link of ${s.name}`, (e) => copy(e.currentTarget, s.link));
  const point = (to) => () => ((view.sample = to), redraw());
  for (const [event, to] of [['mouseenter', i], ['focusin', i], ['mouseleave', -1], ['focusout', -1]]) li.addEventListener(event, point(to));
}

// look shows a sample as the neighbour has it who got it last, not the one who shares it.
async function look(sample) {
  const holders = state.neighbours.map((n, i) => i).filter((i) => state.neighbours[i].have[sample] === 1 && !state.neighbours[i].away);
  const neighbour = holders.find((i) => i !== state.samples[sample].owner) ?? state.samples[sample].owner;
  let out;
  try {
    out = await ask('open', { neighbour, sample });
  } catch (e) {
    return note(e.message);
  }
  const body = $('look-body');
  body.replaceChildren();
  const { name } = state.samples[sample];
  $('look-name').textContent = `${name}, as ${state.neighbours[neighbour].name} has it`;
  if (out.media.startsWith('image/')) {
    const img = html('img', '', undefined, body);
    img.alt = name;
    img.src = out.url;
  } else {
    const audio = html('audio', '', undefined, body);
    audio.controls = true;
    audio.src = out.url;
  }
  $('look').showModal();
}

export function note(text) {
  $('note').hidden = !text;
  changed($('note'), text);
}

// ---- what happens

let newest = '';

const told = {
  wants: (h) => ` asks for ${h.what}`,
  has: (h) => ` has ${h.what}, ${h.sources > 1 ? `from ${h.sources} at once` : 'from one'}, in ${(h.took ?? 0).toFixed(1)} s`,
  forgot: (h) => ` deletes ${h.what}`,
  shared: (h) => ` shares ${h.what}`,
  killed: () => ' goes away without a word',
  revived: () => ' is back',
  moved: () => ' is on another network',
  parted: () => 'The network has fallen apart',
  healed: () => 'The network is whole again',
  met: (h) => `As expected: ${h.what}`,
  missed: (h) => `Not as expected: ${h.what}`,
  failed: (h) => h.what,
};

function drawFeed() {
  const list = $('feed');
  if (state.feed[0]?.at === newest) return;
  const before = newest;
  newest = state.feed[0]?.at ?? '';
  list.replaceChildren();
  for (const h of state.feed) {
    const li = html('li', [h.at > before ? 'new' : '', h.verb].join(' '), undefined, list);
    if (h.name) html('b', '', h.name, li);
    li.append(told[h.verb](h));
  }
}

// ---- the table

function drawTable() {
  if (!$('list').open) return;
  const rows = $('rows');
  state.neighbours.forEach((n, i) => {
    const row = rows.children[i] ?? tableRow(rows, i);
    const c = counts(state, i);
    const cells = [
      `${i + 1} · ${n.name}`, nats[n.nat] ?? 'nothing', n.away ? 'away' : 'here', n.away ? '' : `${c.direct} direct, ${c.relayed} relayed`,
      `${n.have.filter((h) => h === 1).length} of ${n.have.length}`, rate(n.down), rate(c.up),
    ];
    cells.forEach((text, k) => changed(row.children[k], text));
    const b = row.querySelector('button');
    changed(b, n.away ? 'Revive' : 'Kill');
    b.setAttribute('aria-label', `${n.away ? 'Revive' : 'Kill'} ${n.name}`);
  });
}

function tableRow(rows, i) {
  const row = html('tr', '', undefined, rows);
  html('th', '', '', row).scope = 'row';
  for (let k = 0; k < 6; k++) html('td', '', '', row);
  button(html('td', '', undefined, row), '', '', (e) => act(e.currentTarget, '', state.neighbours[i].away ? 'revive' : 'kill', { who: [`${i + 1}`] }));
  return row;
}
