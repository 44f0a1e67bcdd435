// The picture: neighbours on a circle, the wires between them, and what runs along these.

import { $, changed, colour, counts, nats, rate, svg } from './kit.js';

const still = matchMedia('(prefers-reduced-motion: reduce)');
const CIRCLE = 400; // radius of the circle of neighbours
const DROP = 24 << 10; // bytes that one drop on a wire stands for
const APART = 70; // how far the sides of a partition move away from each other
const crowded = 60; // from here on neighbours stand on two circles

let state = null;
let pick = () => {};
export const view = { sample: -1, who: -1 }; // what is pointed at

const people = new Map();
const wires = new Map();
const drops = [];
let places = [];
let ring = 40;

export function begin(picked) {
  pick = picked;
  if (!still.matches) requestAnimationFrame((now) => flow(now, now));
}

export function stop() {
  for (const w of wires.values()) w.rates = [0, 0];
}

export function draw(next) {
  state = next;
  settle();
  drawPeople();
  drawWires();
}

// settle says where everybody stands: groups side by side with a gap between them, guests in the middle; the sides of a partition move apart.
function settle() {
  const all = state.neighbours;
  const gaps = all.filter((n, i) => i && n.group !== all[i - 1].group).length;
  const gap = gaps ? 1.2 : 0;
  const turn = (2 * Math.PI) / (all.length + gap * (gaps ? gaps + 1 : 0));
  const double = all.length > crowded;
  ring = Math.min(46, CIRCLE * turn * (double ? 0.72 : 0.36));
  let angle = -Math.PI / 2;
  const sides = new Map();
  places = all.map((n, i) => {
    if (i) angle += turn * (n.group !== all[i - 1].group ? 1 + gap : 1);
    const far = double && i % 2 ? CIRCLE * 0.87 : CIRCLE;
    const p = { x: far * Math.cos(angle), y: far * Math.sin(angle), angle };
    const s = sides.get(n.side ?? 0) ?? { x: 0, y: 0 };
    sides.set(n.side ?? 0, { x: s.x + p.x, y: s.y + p.y });
    return p;
  });
  if (sides.size > 1) {
    all.forEach((n, i) => {
      const s = sides.get(n.side ?? 0);
      const length = Math.hypot(s.x, s.y) || 1;
      places[i].x += (APART * s.x) / length;
      places[i].y += (APART * s.y) / length;
    });
  }
  state.guests.forEach((_, i) => {
    const turn = (i / state.guests.length) * 2 * Math.PI;
    const far = state.guests.length > 1 ? 60 : 0;
    places.push({ x: far * Math.cos(turn), y: far * Math.sin(turn), angle: turn });
  });
}

// ---- people

let room = -1; // samples that the rings have room for

function drawPeople() {
  const total = state.neighbours.length + state.guests.length;
  if (room !== state.samples.length) {
    room = state.samples.length;
    for (const p of people.values()) rings(p);
  }
  for (const [i, p] of people) if (i >= total) (p.g.remove(), people.delete(i));
  for (let i = 0; i < total; i++) {
    const p = people.get(i) ?? person(i);
    p.g.setAttribute('transform', `translate(${places[i].x} ${places[i].y})`);
    const n = state.neighbours[i];
    if (!n) continue;
    n.have.forEach((have, s) => {
      p.parts[s].style.strokeDashoffset = 1 - Math.max(0, have);
      p.parts[s].classList.toggle('coming', have < 1);
      p.parts[s].classList.toggle('this', s === view.sample);
    });
    if (p.away !== undefined && p.away !== !!n.away) ripple(p, n.away);
    p.away = !!n.away;
    p.g.classList.toggle('away', p.away);
    p.g.classList.toggle('chosen', view.who === i);
    p.key.setAttribute('aria-label', describe(i));
    p.key.setAttribute('aria-pressed', view.who === i);
    if (p.what) changed(p.what, n.away ? 'away' : [n.down > 1000 && `↓ ${rate(n.down)}`, counts(state, i).up > 1000 && `↑ ${rate(counts(state, i).up)}`].filter(Boolean).join('  '));
  }
  $('map').classList.toggle('picked', view.sample >= 0);
}

function describe(i) {
  const n = state.neighbours[i];
  const c = counts(state, i);
  const parts = [`${i + 1}, ${n.name}`, n.away ? 'away' : `here, ${c.direct} direct and ${c.relayed} relayed connections`];
  if (n.nat) parts.push(`behind ${nats[n.nat] ?? n.nat}`);
  parts.push(`has ${n.have.filter((h) => h === 1).length} of ${n.have.length}`);
  return parts.join('; ');
}

function person(i) {
  const guest = i >= state.neighbours.length;
  const g = svg('g', { class: guest ? 'guest' : 'person' }, $('people'));
  const p = { g, parts: [] };
  people.set(i, p);
  const radius = guest ? 26 : ring - ring / 7;
  p.key = svg('g', { class: 'key' }, g); // what is written lies beside it: its label says more
  svg('circle', { class: 'reach', r: radius * 1.5 }, p.key); // for fingers
  svg('circle', { class: 'disc', r: radius }, p.key);
  const letter = svg('text', { class: 'letter', y: 1, 'font-size': guest ? 18 : ring * (state.neighbours.length > 24 ? 0.78 : 0.62), 'aria-hidden': true }, g);
  if (guest) {
    letter.textContent = 'you';
    return p;
  }
  const n = state.neighbours[i];
  letter.textContent = state.neighbours.length > 24 ? i + 1 : n.name[0];
  p.key.setAttribute('role', 'button');
  p.key.setAttribute('tabindex', 0);
  g.addEventListener('click', () => pick(i));
  p.key.addEventListener('keydown', (e) => {
    if (e.key === 'Enter' || e.key === ' ') (e.preventDefault(), pick(i));
  });
  p.rings = svg('g', {}, g);
  svg('circle', { class: 'track', r: ring, 'stroke-width': ring / 5 }, p.rings);
  rings(p);
  wall(g, n.nat, places[i].angle);
  label(p, i, n);
  return p;
}

// rings draws an arc for each sample, which fills as it comes.
function rings(p) {
  if (!p.rings) return;
  for (const arc of p.parts) arc.remove();
  p.parts = state.samples.map((sample, s) => {
    const of = state.samples.length;
    const gap = Math.min(0.06, 1 / of);
    const [from, to] = [(s / of) * 2 * Math.PI + gap / 2, ((s + 1) / of) * 2 * Math.PI - gap / 2];
    const at = (a) => `${ring * Math.sin(a)} ${-ring * Math.cos(a)}`;
    const half = (from + to) / 2; // in two halves, so that the arc of a single sample is no point
    const arc = svg('path', { class: 'part', d: `M${at(from)}A${ring} ${ring} 0 0 1 ${at(half)}A${ring} ${ring} 0 0 1 ${at(to)}`, pathLength: 1, 'stroke-width': ring / 5 }, p.rings);
    arc.style.strokeDasharray = '1 2';
    arc.style.strokeDashoffset = 1;
    arc.style.stroke = colour(s);
    return arc;
  });
}

// wall draws the router that somebody stands behind, on the side of the others.
function wall(g, nat, angle) {
  const arc = (r, wide, kind) => {
    const at = (a) => `${r * Math.cos(a)} ${r * Math.sin(a)}`;
    const middle = angle + Math.PI;
    svg('path', { class: `wall ${kind}`, d: `M${at(middle - wide)}A${r} ${r} 0 0 1 ${at(middle + wide)}`, 'stroke-width': ring / 9 }, g);
  };
  const step = ring / 4.2;
  if (nat === 'cone' || nat === 'double' || nat === 'ipv6-only') arc(ring + step, 0.75, nat);
  if (nat === 'double') arc(ring + 1.8 * step, 0.62, nat);
  if (nat === 'symmetric') arc(ring + step, 0.9, nat);
}

function label(p, i, n) {
  if (state.neighbours.length > crowded) return;
  const few = state.neighbours.length <= 16;
  if (few) {
    svg('text', { class: 'who', y: ring + 27, 'font-size': 17, 'aria-hidden': true }, p.g).textContent = n.name;
    p.what = svg('text', { class: 'what', y: ring + 46, 'font-size': 14, 'aria-hidden': true }, p.g);
    return;
  }
  const { angle } = places[i];
  const far = ring * 1.45;
  const [x, y] = [far * Math.cos(angle), far * Math.sin(angle)];
  const anchor = Math.abs(Math.cos(angle)) < 0.25 ? 'middle' : x > 0 ? 'start' : 'end';
  const text = svg('text', { class: 'who many', x, y: y + (anchor === 'middle' ? Math.sign(y) * 5 : 0), 'font-size': 14, 'aria-hidden': true }, p.g);
  text.style.textAnchor = anchor;
  text.textContent = n.name;
}

// ripple shows that somebody has just gone, or come.
function ripple(p, gone) {
  if (still.matches) return;
  const r = svg('circle', { class: gone ? 'ripple gone' : 'ripple', r: ring }, p.g);
  r.addEventListener('animationend', () => r.remove());
}

// ---- wires, and the drops that run along them

// The middle of a wire, drawn towards the centre so that wires do not lie on each other.
const bend = (a, b) => `${((a.x + b.x) / 2) * 0.6} ${((a.y + b.y) / 2) * 0.6}`;
const curve = (a, b) => `Q${bend(a, b)} ${b.x} ${b.y}`;

function drawWires() {
  const seen = new Set();
  const dense = state.wires.length > 150;
  $('map').classList.toggle('dense', dense);
  for (const w of state.wires) {
    const [a, b, via] = [places[w.a], places[w.b], w.how === 'relayed' ? places[w.via] : null];
    if (!a || !b) continue;
    const key = `${w.a}-${w.b}`;
    seen.add(key);
    if (!wires.has(key)) wires.set(key, { path: svg('path', {}, $('wires')), due: [0, 0] });
    const wire = wires.get(key);
    const d = `M${a.x} ${a.y}${via ? curve(a, via) + curve(via, b) : curve(a, b)}`;
    if (wire.d !== d) {
      wire.path.setAttribute('d', d);
      Object.assign(wire, { d, length: 0 });
    }
    const touched = view.who === w.a || view.who === w.b;
    const name = ['wire', w.how, w.a_to_b + w.b_to_a > 500 ? 'busy' : '', touched ? 'touched' : view.who >= 0 ? 'faint' : ''].join(' ');
    if (wire.name !== name) wire.path.setAttribute('class', (wire.name = name));
    wire.rates = [w.a_to_b, w.b_to_a];
  }
  for (const [key, wire] of wires) if (!seen.has(key)) (wire.path.remove(), wires.delete(key));
}

function flow(now, last) {
  const passed = Math.min(0.1, (now - last) / 1000);
  for (const wire of wires.values()) {
    wire.rates?.forEach((speed, direction) => {
      wire.due[direction] += (speed * passed) / DROP;
      if (wire.due[direction] < 1) return;
      wire.due[direction] %= 1;
      if (drops.length > 250 || document.hidden) return;
      drops.push({ dot: svg('circle', { class: 'drop', r: ring > 30 ? 4 : 3 }, $('drops')), wire, direction, t: 0 });
    });
  }
  for (let i = drops.length - 1; i >= 0; i--) {
    const d = drops[i];
    d.t += passed / 1.1;
    if (d.t >= 1 || !d.wire.path.isConnected) {
      d.dot.remove();
      drops.splice(i, 1);
      continue;
    }
    d.wire.length ||= d.wire.path.getTotalLength();
    const at = d.wire.path.getPointAtLength((d.direction ? 1 - d.t : d.t) * d.wire.length);
    d.dot.setAttribute('cx', at.x);
    d.dot.setAttribute('cy', at.y);
  }
  requestAnimationFrame((next) => flow(next, now));
}

// legend explains the signs that are on this picture.
export function legend(list, kinds) {
  const item = (text, picture) => {
    const li = document.createElement('li');
    li.append(picture, ` ${text}`);
    list.append(li);
  };
  const sign = () => svg('svg', { viewBox: '0 0 34 14', class: 'sign', 'aria-hidden': 'true' });
  for (const [how, text] of [['direct', 'direct'], ['relayed', 'relayed, through a neighbour'], ['lost', 'gone, not noticed yet']]) {
    const s = sign();
    svg('path', { class: `wire touched ${how}`, d: 'M1 7H33' }, s);
    item(text, s);
  }
  for (const kind of kinds) {
    if (kind === 'public') continue;
    const s = sign();
    svg('circle', { class: 'disc', cx: 10, cy: 7, r: 5 }, s);
    svg('path', { class: `wall ${kind}`, d: 'M19 1A8 8 0 0 1 19 13', 'stroke-width': 2.5 }, s);
    if (kind === 'double') svg('path', { class: 'wall', d: 'M24 1A8 8 0 0 1 24 13', 'stroke-width': 2.5 }, s);
    item(`behind ${nats[kind] ?? kind}`, s);
  }
}
