// The one way to the node: every operation that the page uses, typed.

import { plainly } from './lib/format'
import { Parser } from './lib/sse'
import type { components, paths } from './schema'
import type { Shared, Visibility } from './types'

/** An error as the node tells it (RFC 9457), with what a person can do about it. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
    readonly hint = '',
    readonly kind = '',
  ) {
    super(detail)
  }
}

/** The node does not answer: it has stopped, or the computer sleeps. */
export const Unreachable = 'Kith does not answer.'

export function problemOf(err: unknown): Problem {
  if (err instanceof Problem) return err
  if (err instanceof TypeError) return new Problem(0, Unreachable, 'Start it again with `kith up`.')
  return new Problem(0, err instanceof Error ? err.message : String(err))
}

type Details = Partial<components['schemas']['Problem']>

function fromDetails(d: Details, status: number): Problem {
  return new Problem(d.status ?? status, plainly(d.detail || d.title || `error ${status}`, d.kind), d.hint, d.kind)
}

async function refused(res: Response): Promise<Problem> {
  try {
    return fromDetails((await res.json()) as Details, res.status)
  } catch {
    return new Problem(res.status, res.statusText || `error ${res.status}`)
  }
}

// What an operation takes and gives, by its path in the OpenAPI document.
type Body<Op> = Op extends { requestBody?: { content: { 'application/json': infer T } } } ? T : never
type Query<Op> = Op extends { parameters: { query?: infer T } } ? T : never
type Answer<Op> = Op extends { responses: { 200: { content: infer C } } } ? C[keyof C] : never
type With<M extends 'get' | 'post'> = { [P in keyof paths]: paths[P] extends { [K in M]: object } ? P : never }[keyof paths]

function url(path: string, query: object = {}): string {
  const q = new URLSearchParams()
  for (const [k, v] of Object.entries(query)) if (v !== undefined && v !== '') q.set(k, String(v))
  return q.size > 0 ? `${path}?${q}` : path
}

// The session's cookie is sent to every port of this host; this proof, in storage bound to our port, is what makes it worth something.
export const proofKey = 'kith-page'
const proof = (): Record<string, string> => ({ 'Kith-Page': localStorage.getItem(proofKey) ?? '' })

function init(body: unknown, signal?: AbortSignal): RequestInit {
  const init: RequestInit = { credentials: 'same-origin', cache: 'no-store', headers: proof() }
  if (signal) init.signal = signal
  if (body !== undefined) {
    init.method = 'POST'
    init.headers = { 'Content-Type': 'application/json', ...proof() }
    init.body = JSON.stringify(body)
  }
  return init
}

async function answer<T>(target: string, init: RequestInit): Promise<T> {
  const res = await fetch(target, init)
  if (!res.ok) throw await refused(res)
  return (res.status === 204 ? undefined : await res.json()) as T
}

const get = <P extends With<'get'>>(path: P, query?: Query<paths[P]['get']>) => answer<Answer<paths[P]['get']>>(url(path, query ?? {}), init(undefined))

const post = <P extends With<'post'>>(path: P, body: Body<paths[P]['post']>) => answer<Answer<paths[P]['post']>>(path, init(body))

/** Yields the values of a streaming operation as they come; throws the Problem that ends it. */
async function* stream<T>(path: string, init: RequestInit): AsyncGenerator<T> {
  const res = await fetch(path, init)
  if (!res.ok || !res.body) throw await refused(res)
  const parser = new Parser()
  const reader = res.body.pipeThrough(new TextDecoderStream()).getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) throw new Problem(0, Unreachable)
      for (const event of parser.feed(value)) {
        if (event.name === 'end') return
        if (event.name === 'error') throw fromDetails(JSON.parse(event.data) as Details, 500)
        yield JSON.parse(event.data) as T
      }
    }
  } finally {
    void reader.cancel().catch(() => undefined)
  }
}

const listen = <P extends With<'get'>>(path: P, signal: AbortSignal, query?: Query<paths[P]['get']>) => stream<Answer<paths[P]['get']>>(url(path, query ?? {}), init(undefined, signal))

const run = <P extends With<'post'>>(path: P, body: Body<paths[P]['post']>, signal?: AbortSignal) => stream<Answer<paths[P]['post']>>(path, init(body, signal))

/** Waits for the end of a stream whose values are of no interest. */
async function done(values: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of values);
}

/** Exchanges the one-time code of the page's address for a session. */
export async function openSession(code: string): Promise<void> {
  const begun = await answer<{ proof: string }>('/api/session', init({ code }))
  localStorage.setItem(proofKey, begun.proof)
}

/** Web sites on IPFS. */
export const sites = {
  list: () => get('/api/ipfs/site-ls'),
  publish: (path: string, name: string) => done(run('/api/ipfs/site-publish', { path, ...(name && { name }) })),
  update: (name: string) => done(run('/api/ipfs/site-update', { name })),
  remove: (name: string) => post('/api/ipfs/site-rm', { name }),
}

const uploads = '/api/files/-/upload'

export const files = {
  watch: (signal: AbortSignal) => listen('/api/files/watch', signal),
  show: (ref: string) => get('/api/files/show', { ref }),
  share: (paths: string[], visibility: Visibility, sealed: boolean, networks: string[], signal: AbortSignal) =>
    run('/api/files/share', { paths, for: visibility, private: sealed, networks }, signal),
  networks: () => get('/api/files/networks'),
  publish: (ref: string, networks: string[], open: boolean) => post('/api/files/publish', { ref, networks, ...(open && { for: 'public' as const }) }),
  unpublish: (ref: string, networks: string[]) => post('/api/files/unpublish', { ref, networks }),
  select: (ref: string, only: string[]) => post('/api/files/select', { ref, only }),
  /** The link that a .torrent file is. */
  torrent: (file: Blob) => answer<{ link: string }>('/api/files/-/torrent', { ...init(undefined), method: 'POST', body: file }),
  torrentOf,
  get: (link: string) => run('/api/files/get', { link, detach: true }),
  rm: (ref: string, remove: boolean) => post('/api/files/rm', { ref, delete: remove }),
  pause: (ref: string) => post('/api/files/pause', { ref }),
  resume: (ref: string) => post('/api/files/resume', { ref }),
  open: (ref: string, index: number) => post('/api/files/open', { ref, index }),
  browse: (dir: string) => get('/api/files/browse', { dir }),
  limits: () => get('/api/files/limits'),
  limit: (up: string, down: string) => post('/api/files/limit', { up, down }),
  guest: (ref: string, lasts: string, downloads: number) => post('/api/files/guest-add', { ref, lasts, downloads }),
  endGuest: (n: number) => post('/api/files/guest-rm', { n }),
  upload,
  uploaded: (batch: string, visibility: Visibility, sealed: boolean, networks: string[]) =>
    answer<Shared>(url(`${uploads}/done`, { batch, for: visibility, private: sealed }) + networks.map((n) => `&network=${encodeURIComponent(n)}`).join(''), init({})),
  dropUpload: (batch: string) => answer<unknown>(url(`${uploads}/drop`, { batch }), init({})),
}

/** As what something may be reported. */
export type ReportWhy = Body<paths['/api/search/search-report']['post']>['why']

/** What a search may say besides its words. */
export type Wish = Omit<Partial<Body<paths['/api/search/search']['post']>>, 'words'>

export const search = {
  /** What is found, first here and then with others, as they answer; while a person types (typing) nobody is asked. */
  find: (words: string, more: Wish, signal: AbortSignal) =>
    run('/api/search/search', { words: [words], limit: 20, sort: 'relevance', ...more }, signal),
  saved: () => get('/api/search/search-saved'),
  seen: (name: string) => post('/api/search/search-saved-seen', { name }),
  forget: (name: string) => post('/api/search/search-saved-rm', { name }),
  hidden: () => get('/api/search/search-hidden'),
  hide: (what: string, why: string) => post('/api/search/search-hide', { what, why }),
  report: (what: string, why: ReportWhy, note: string) => post('/api/search/search-report', { what, why, note }),
  unhide: (what: string) => post('/api/search/search-unhide', { what }),
  lists: () => get('/api/search/search-block'),
  addList: (name: string, text: string) => post('/api/search/search-block-add', { name, text }),
  removeList: (name: string) => post('/api/search/search-block-rm', { name }),
  about: (item: string) => get('/api/search/search-about', { item }),
  tag: (item: string, tags: string[]) => post('/api/search/search-tag', { item, tags }),
  speak: (item: string, lang: string) => post('/api/search/search-tag', { item, lang: lang || 'none' }),
  volunteer: () => get('/api/search/search-volunteer'),
  /** Indexes for others too, or no more. */
  volunteerFor: (on: boolean) => (on ? post('/api/search/search-volunteer-on', { most: 1_000_000 }) : post('/api/search/search-volunteer-off', {})),
}

export const send = {
  mail: (signal: AbortSignal) => listen('/api/send/mail', signal),
  send: (to: string, paths: string[], note: string) => run('/api/send/send', { to, paths, note, detach: true, expire: '30d' }),
  accept: (n: number) => done(run('/api/send/inbox-accept', { n: [n], detach: true })),
  decline: (n: number) => post('/api/send/inbox-decline', { n }),
  remove: (n: number) => post('/api/send/inbox-rm', { n }),
  cancel: (n: number) => post('/api/send/outbox-cancel', { n }),
  /** What is taken without asking; with a name, sets how much of theirs in a day, such as 1GB, or off. */
  auto: (who = '', max = '') => post('/api/send/inbox-auto', who ? { who, max } : {}),
}

/** What a person typed to get at the master key; '' where nothing is needed. */
export interface Secret {
  words: string
  passphrase: string
}

const unlocked = ({ words, passphrase }: Secret) => ({
  ...(words && { phrase: true, words: words.trim().toLowerCase().split(/\s+/) }),
  ...(passphrase && { unlock: true, passphrase }),
})

export const torrents = {
  tracker: () => get('/api/torrents/tracker-status'),
  trackerOn: (set: Body<paths['/api/torrents/tracker-on']['post']>) => post('/api/torrents/tracker-on', set),
  trackerOff: () => post('/api/torrents/tracker-off', {}),
  folders: () => get('/api/torrents/watch-ls'),
  watch: (path: string) => post('/api/torrents/watch-add', { path }),
  unwatch: (path: string) => post('/api/torrents/watch-rm', { path }),
  feeds: () => get('/api/torrents/feed-ls'),
  follow: (url: string, ask: boolean) => post('/api/torrents/feed-add', { url, ask, every: '30m' }),
  refresh: (feed: number) => post('/api/torrents/feed-refresh', { feed: String(feed) }),
  unfollow: (feed: number) => post('/api/torrents/feed-rm', { feed: String(feed) }),
  rules: () => get('/api/torrents/feed-rules'),
  tryRule: (rule: Query<paths['/api/torrents/feed-try']['get']>) => get('/api/torrents/feed-try', rule),
  addRule: (rule: Body<paths['/api/torrents/feed-rules-add']['post']>) => post('/api/torrents/feed-rules-add', rule),
  /** Takes over what another program has; with dry, tells what that would be. */
  takeOver: (from: 'transmission' | 'qbittorrent', path: string, dry: boolean, signal: AbortSignal) =>
    run(`/api/torrents/import-${from}`, { dry_run: dry, ...(path && { path }) }, signal),
  removeRule: (name: string) => post('/api/torrents/feed-rules-rm', { name }),
}

export const node = {
  status: () => get('/api/node/status'),
  peers: () => get('/api/node/peers'),
  overlay: () => get('/api/node/overlay'),
  find: (key: string, signal: AbortSignal) => listen('/api/node/overlay-find', signal, { key }),
  doctor: () => get('/api/node/doctor'),
  id: () => get('/api/node/id'),
  people: () => get('/api/node/people'),
  network: () => get('/api/node/network'),
  newNetwork: (name: string, move: boolean) => post('/api/node/network-new', { name, move }),
  joinNetwork: (link: string, move: boolean) => run('/api/node/network-join', { link, move }),
  leaveNetwork: () => post('/api/node/network-leave', {}),
  networkLink: () => post('/api/node/network-link', {}),
  addMember: (who: string) => post('/api/node/network-members-add', { who: [who] }),
  removeMember: (who: string) => post('/api/node/network-members-rm', { who: [who] }),
  relaying: () => get('/api/node/relaying'),
  relay: (change: Body<paths['/api/node/relay']['post']>) => post('/api/node/relay', change),
  joinPublic: (signal: AbortSignal) => run('/api/node/network-join', {}, signal),
  leavePublic: () => post('/api/node/network-leave', {}),
  connect: (addr: string) => post('/api/node/connect', { addr }),
  pictureOf: (name: string) => get('/api/node/people-picture', { name }),
  invite: () => post('/api/node/invite', { for: '7d' }),
  invites: () => get('/api/node/invite-ls'),
  withdraw: (id: string) => post('/api/node/invite-rm', { id }),
  join: (link: string, signal: AbortSignal) => run('/api/node/join', { link, timeout: '1h' }, signal),
  addPerson: (name: string, peer: string) => post('/api/node/people-add', { name, peer }),
  renamePerson: (name: string, to: string) => post('/api/node/people-rename', { name, to }),
  removePerson: (name: string) => post('/api/node/people-rm', { name }),
  rename: (name: string) => post('/api/node/id-profile', { name }),
  picture: (picture: string) => post('/api/node/id-profile', picture ? { picture } : { no_picture: true }),
  phrase: () => post('/api/node/id-phrase', {}),
  confirm: (words: string[], passphrase: string) => post('/api/node/id-confirm', passphrase ? { words, keep: true, passphrase } : { words }),
  devices: () => get('/api/node/id-devices'),
  link: (link: string, replace: boolean, secret: Secret, signal: AbortSignal) => run('/api/node/id-link', { link, replace, ...unlocked(secret) }, signal),
  revokeDevice: (device: string, secret: Secret) => post('/api/node/id-revoke', { device, ...unlocked(secret) }),
  renameDevice: (device: string, to: string, secret: Secret) => post('/api/node/id-rename', { device, to, ...unlocked(secret) }),
  startLab: (nodes: number) => post('/api/node/lab-start', { nodes }),
}

export const phone = {
  open: () => post('/api/phone/phone', {}),
  list: () => get('/api/phone/phone-ls'),
  remove: (n: number) => post('/api/phone/phone-rm', { n }),
  off: () => post('/api/phone/phone-off', {}),
}

/** The paths that this node offers, for what not every build has. */
export const offers = () =>
  answer<{ paths?: Record<string, unknown> }>('/api/openapi.json', init(undefined)).then((doc) => new Set(Object.keys(doc.paths ?? {})))

/** The .torrent file of an item, for programs of BitTorrent. */
async function torrentOf(ref: string): Promise<Blob> {
  const res = await fetch(`/api/files/-/torrent/${encodeURIComponent(ref)}`, init(undefined))
  if (!res.ok) throw await refused(res)
  return res.blob()
}

const stopped = () => new DOMException('stopped', 'AbortError')

/** Sends one file into a batch. XMLHttpRequest, since fetch tells nothing of an upload's progress. */
function upload(batch: string, path: string, file: File, progress: (sent: number) => void, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest()
    if (signal.aborted) return reject(stopped())
    const stop = () => xhr.abort()
    signal.addEventListener('abort', stop, { once: true })
    xhr.upload.onprogress = (e) => progress(e.loaded)
    xhr.onerror = () => reject(new Problem(0, Unreachable))
    xhr.onabort = () => reject(stopped())
    xhr.onloadend = () => signal.removeEventListener('abort', stop)
    xhr.onload = () => {
      if (xhr.status < 300) return resolve()
      try {
        reject(fromDetails(JSON.parse(xhr.responseText) as Details, xhr.status))
      } catch {
        reject(new Problem(xhr.status, `error ${xhr.status}`))
      }
    }
    xhr.open('PUT', url(uploads, { batch, path }))
    xhr.setRequestHeader('Content-Type', 'application/octet-stream')
    for (const [name, value] of Object.entries(proof())) xhr.setRequestHeader(name, value)
    xhr.send(file)
  })
}
