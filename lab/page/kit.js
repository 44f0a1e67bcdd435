// Small things that all parts of the page use.

export const $ = (id) => document.getElementById(id);

export function svg(tag, attributes = {}, parent = null) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  parent?.append(e);
  return e;
}

export function html(tag, className, text, parent) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  parent?.append(e);
  return e;
}

export function button(parent, text, label, act) {
  const b = html('button', '', text, parent);
  b.type = 'button';
  if (label) b.setAttribute('aria-label', label);
  b.addEventListener('click', act);
  return b;
}

export function size(bytes) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let i = 0;
  while (bytes >= 999.5 && i < units.length - 1) [bytes, i] = [bytes / 1000, i + 1];
  return `${i && bytes < 9.95 ? bytes.toFixed(1) : Math.round(bytes)} ${units[i]}`;
}

export const rate = (bytes) => (bytes > 500 ? `${size(bytes)}/s` : '');

// Colours of samples stay when there are more of them: each next one is far from those before.
export const colour = (sample) => `oklch(var(--light) 0.14 ${(25 + sample * 137.5) % 360})`;

export const nats = {
  public: 'nothing, open to all',
  cone: 'a router that keeps ports (cone)',
  symmetric: 'a router that changes ports (symmetric)',
  double: 'a router behind a router (double)',
  'ipv6-only': 'a firewall, IPv6 only',
};

// Who has how many connections of which kind, and sends how much.
export function counts(state, i) {
  const c = { direct: 0, relayed: 0, lost: 0, up: 0 };
  for (const w of state.wires) {
    if (w.a !== i && w.b !== i) continue;
    c[w.how]++;
    c.up += w.a === i ? w.a_to_b : w.b_to_a;
  }
  return c;
}

export function changed(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// The proof of the session that is bound to this page's port; the cookie alone is worth nothing.
export const proof = () => ({ 'Kith-Page': sessionStorage.getItem('kith-page') ?? '' });

// ask carries out an operation of the lab, and throws what is wrong in words.
export async function ask(op, input) {
  const answer = await fetch(`/api/lab/${op}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...proof() },
    body: JSON.stringify(input),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error([body.detail ?? 'It did not work.', body.hint].filter(Boolean).join(': '));
  return body;
}
