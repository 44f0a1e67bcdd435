// The page of a lab: it draws what /api/lab/watch tells, and nothing that it does not.

const $ = (id) => document.getElementById(id);
const still = matchMedia('(prefers-reduced-motion: reduce)');
const RING = 46; // radius of the ring of samples around a neighbour
const CIRCLE = 290; // radius of the circle of neighbours
const DROP = 24 << 10; // bytes that one drop on a wire stands for

let state = null;
let picked = -1; // the sample that is pointed at

function svg(tag, attributes = {}, parent = null) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  parent?.append(e);
  return e;
}

function html(tag, className, text, parent) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  parent?.append(e);
  return e;
}

function size(bytes) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let i = 0;
  while (bytes >= 999.5 && i < units.length - 1) [bytes, i] = [bytes / 1000, i + 1];
  return `${i && bytes < 9.95 ? bytes.toFixed(1) : Math.round(bytes)} ${units[i]}`;
}

function paint(element, sample, property) {
  element.style[property] = `oklch(var(--light) 0.14 ${(25 + (sample * 360) / state.samples.length) % 360})`;
}

// Where somebody stands: neighbours on the circle, guests in the middle.
function place(i) {
  const n = state.neighbours.length;
  if (i < n) {
    const angle = (i / n) * 2 * Math.PI - Math.PI / 2;
    return [CIRCLE * Math.cos(angle), CIRCLE * Math.sin(angle)];
  }
  const guests = state.guests.length;
  const angle = ((i - n) / guests) * 2 * Math.PI;
  const far = guests > 1 ? 60 : 0;
  return [far * Math.cos(angle), far * Math.sin(angle)];
}

// The middle of a wire, drawn towards the centre so that wires do not lie on each other.
function bend([ax, ay], [bx, by]) {
  return [((ax + bx) / 2) * 0.72, ((ay + by) / 2) * 0.72];
}

// ---- people

const people = new Map();

function person(i) {
  if (people.has(i)) return people.get(i);
  const guest = i >= state.neighbours.length;
  const g = svg('g', { class: guest ? 'guest' : 'person' }, $('people'));
  const p = { g, parts: [] };
  svg('circle', { class: 'disc', r: guest ? 24 : RING - 8 }, g);
  svg('text', { class: 'letter', y: 1 }, g).textContent = guest ? 'you' : state.neighbours[i].name[0];
  if (!guest) {
    svg('circle', { class: 'track', r: RING }, g);
    const n = state.samples.length;
    const gap = 0.06;
    for (let s = 0; s < n; s++) {
      const [from, to] = [(s / n) * 2 * Math.PI + gap / 2, ((s + 1) / n) * 2 * Math.PI - gap / 2];
      const at = (a) => `${RING * Math.sin(a)} ${-RING * Math.cos(a)}`;
      const arc = svg('path', { class: 'part', d: `M${at(from)}A${RING} ${RING} 0 ${to - from > Math.PI ? 1 : 0} 1 ${at(to)}`, pathLength: 1 }, g);
      arc.style.strokeDasharray = '1 2';
      arc.style.strokeDashoffset = 1;
      paint(arc, s, 'stroke');
      svg('title', {}, arc).textContent = state.samples[s].name;
      p.parts.push(arc);
    }
    svg('text', { class: 'who', y: RING + 27 }, g).textContent = state.neighbours[i].name;
    p.what = svg('text', { class: 'what', y: RING + 45 }, g);
  }
  people.set(i, p);
  return p;
}

function drawPeople() {
  const all = state.neighbours.length + state.guests.length;
  for (const [i, p] of people) if (i >= all) (p.g.remove(), people.delete(i));
  for (let i = 0; i < all; i++) {
    const p = person(i);
    const [x, y] = place(i);
    p.g.setAttribute('transform', `translate(${x} ${y})`);
    const n = state.neighbours[i];
    if (!n) continue;
    n.have.forEach((have, s) => {
      p.parts[s].style.strokeDashoffset = 1 - Math.max(0, have);
      p.parts[s].classList.toggle('coming', have < 1);
      p.parts[s].classList.toggle('this', s === picked);
    });
    const up = state.wires.reduce((sum, w) => sum + (w.a === i ? w.a_to_b : w.b === i ? w.b_to_a : 0), 0);
    p.what.textContent = [n.down > 1000 && `↓ ${size(n.down)}/s`, up > 1000 && `↑ ${size(up)}/s`].filter(Boolean).join('  ');
  }
  $('map').classList.toggle('picked', picked >= 0);
  $('map-title').textContent = state.neighbours
    .map((n) => `${n.name} has ${n.have.filter((h) => h === 1).length} of ${n.have.length}`)
    .join(', ');
}

// ---- wires, and the drops that run along them

const wires = new Map();

function drawWires() {
  const seen = new Set();
  for (const w of state.wires) {
    const key = `${w.a}-${w.b}`;
    seen.add(key);
    if (!wires.has(key)) wires.set(key, { path: svg('path', { class: 'wire' }, $('wires')), due: [0, 0] });
    const wire = wires.get(key);
    const [a, b] = [place(w.a), place(w.b)];
    const m = bend(a, b);
    wire.path.setAttribute('d', `M${a}Q${m} ${b}`);
    wire.path.classList.toggle('busy', w.a_to_b + w.b_to_a > 0);
    Object.assign(wire, { a, b, m, rates: [w.a_to_b, w.b_to_a] });
  }
  for (const [key, wire] of wires) if (!seen.has(key)) (wire.path.remove(), wires.delete(key));
}

const drops = [];

function flow(now, last) {
  const passed = Math.min(0.1, (now - last) / 1000);
  for (const wire of wires.values()) {
    wire.rates?.forEach((rate, direction) => {
      wire.due[direction] += (rate * passed) / DROP;
      if (wire.due[direction] < 1) return;
      wire.due[direction] %= 1;
      if (drops.length > 400 || document.hidden) return;
      const dot = svg('circle', { class: 'drop', r: 3.6, fill: 'var(--accent)' }, $('drops'));
      drops.push({ dot, wire, direction, t: 0 });
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
    const t = d.direction ? 1 - d.t : d.t;
    const at = (k) => (1 - t) ** 2 * d.wire.a[k] + 2 * t * (1 - t) * d.wire.m[k] + t ** 2 * d.wire.b[k];
    d.dot.setAttribute('cx', at(0));
    d.dot.setAttribute('cy', at(1));
  }
  requestAnimationFrame((next) => flow(next, now));
}

// ---- samples

function drawSamples() {
  const list = $('samples');
  if (!list.children.length) {
    state.samples.forEach((s, i) => {
      const li = html('li', '', undefined, list);
      paint(html('span', 'dot', '', li), i, 'background');
      html('span', 'name', s.name, li).title = s.name;
      html('span', 'about', '', li);
      const acts = html('span', 'acts', undefined, li);
      if (/\.(png|gif|wav)$/.test(s.name)) button(acts, 'Look', `Look at ${s.name}`, () => look(i));
      button(acts, 'Copy link', `Copy the link of ${s.name}`, (e) => copy(e.currentTarget, s.link));
      const point = (to) => () => ((picked = to), drawPeople());
      for (const [event, to] of [['mouseenter', i], ['focusin', i], ['mouseleave', -1], ['focusout', -1]]) li.addEventListener(event, point(to));
    });
  }
  state.samples.forEach((s, i) => {
    const have = state.neighbours.filter((n) => n.have[i] === 1).length;
    list.children[i].querySelector('.about').textContent = `${size(s.size)} · from ${state.neighbours[s.owner].name} · ${have} of ${state.neighbours.length} have it`;
  });
}

function button(parent, text, label, act) {
  const b = html('button', '', text, parent);
  b.type = 'button';
  b.setAttribute('aria-label', label);
  b.addEventListener('click', act);
  return b;
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

// look shows a sample as the neighbour has it who got it last, not the one who shares it.
async function look(sample) {
  const holders = state.neighbours.map((n, i) => i).filter((i) => state.neighbours[i].have[sample] === 1);
  const neighbour = holders.find((i) => i !== state.samples[sample].owner) ?? state.samples[sample].owner;
  const answer = await fetch('/api/lab/open', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...proof() },
    body: JSON.stringify({ neighbour, sample }),
  });
  if (!answer.ok) return note((await answer.json()).detail ?? 'It cannot be opened.');
  const { url, media } = await answer.json();
  const body = $('look-body');
  body.replaceChildren();
  const name = state.samples[sample].name;
  $('look-name').textContent = `${name}, as ${state.neighbours[neighbour].name} has it`;
  if (media.startsWith('image/')) {
    const img = html('img', '', undefined, body);
    img.alt = name;
    img.src = url;
  } else {
    const audio = html('audio', '', undefined, body);
    audio.controls = true;
    audio.src = url;
  }
  $('look').showModal();
}

$('look').addEventListener('close', () => $('look-body').replaceChildren());
document.querySelector('[data-copy=connect]').addEventListener('click', (e) => copy(e.currentTarget, $('connect').textContent));

// ---- the rest

let newest = '';

function drawFeed() {
  const list = $('feed');
  if (state.feed[0]?.at === newest) return;
  const before = newest;
  newest = state.feed[0]?.at ?? '';
  list.replaceChildren();
  for (const h of state.feed) {
    const li = html('li', h.at > before ? 'new' : '', undefined, list);
    if (!['wants', 'has', 'forgot'].includes(h.verb)) {
      html('b', '', h.name ?? '', li);
      li.append(` ${h.verb} ${h.what ?? ''}`);
      continue;
    }
    html('b', '', state.neighbours[h.who].name, li);
    const [what, from] = [state.samples[h.sample].name, state.neighbours[state.samples[h.sample].owner].name];
    const many = h.sources > 1 ? `from ${h.sources} at once` : 'from one';
    li.append({ wants: ` asks for ${from}’s ${what}`, has: ` has ${what}, ${many}, in ${(h.took ?? 0).toFixed(1)} s`, forgot: ` deletes ${what}` }[h.verb]);
  }
}

const numbers = ['', '', 'Two', 'Three', 'Four', 'Five', 'Six', 'Seven', 'Eight', 'Nine', 'Ten', 'Eleven', 'Twelve'];

let drawn = 0; // samples that the rings have room for

function draw() {
  if (drawn !== state.samples.length) {
    drawn = state.samples.length;
    people.clear();
    $('people').replaceChildren();
    $('samples').replaceChildren();
  }
  const n = state.neighbours.length;
  document.title = `${numbers[n] ?? n} pretend neighbours · Kith`;
  $('title').textContent = `${numbers[n] ?? n} pretend neighbours`;
  $('rate').textContent = `${size(state.wires.reduce((sum, w) => sum + w.a_to_b + w.b_to_a, 0))}/s`;
  $('moved').textContent = size(state.moved);
  $('links').textContent = state.wires.length;
  $('connect').textContent = `kith connect ${state.connect}`;
  drawPeople();
  drawWires();
  drawSamples();
  drawFeed();
}

function note(text) {
  $('note').hidden = !text;
  $('note').textContent = text;
}

// The proof of the session that is bound to this page's port; the cookie alone is worth nothing.
const proof = () => ({ 'Kith-Page': sessionStorage.getItem('kith-page') ?? '' });

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
  const seen = (now) => {
    note('');
    state = now;
    draw();
  };
  watch(seen)
    .catch(() => undefined)
    .then(() => {
      for (const w of wires.values()) w.rates = [0, 0];
      note(state ? 'The neighbours have moved out: the lab has ended.' : 'This address is used up. Open the lab again: its command prints a new one.');
    });
  if (!still.matches) requestAnimationFrame((now) => flow(now, now));
}

begin();
