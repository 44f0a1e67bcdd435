// The one way to the node: every operation that the page uses, typed.

import { Parser } from './lib/sse'
import type {
  BrowseOut,
  GetOut,
  IDOut,
  LimitOut,
  LsOut,
  OpenOut,
  Peer,
  PeopleOut,
  PhraseOut,
  RmOut,
  Shared,
  ShareOut,
  ShowOut,
  StatusOut,
  Visibility,
} from './types'

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

interface Details {
  title?: string
  detail?: string
  kind?: string
  hint?: string
  status?: number
}

function fromDetails(d: Details, status: number): Problem {
  return new Problem(d.status ?? status, d.detail || d.title || `error ${status}`, d.hint, d.kind)
}

async function refused(res: Response): Promise<Problem> {
  try {
    return fromDetails((await res.json()) as Details, res.status)
  } catch {
    return new Problem(res.status, res.statusText || `error ${res.status}`)
  }
}

type Query = Record<string, string | number | boolean | undefined>

function url(path: string, query: Query = {}): string {
  const q = new URLSearchParams()
  for (const [k, v] of Object.entries(query)) if (v !== undefined && v !== '') q.set(k, String(v))
  return q.size > 0 ? `/api/${path}?${q}` : `/api/${path}`
}

function init(body: unknown, signal?: AbortSignal): RequestInit {
  const init: RequestInit = { credentials: 'same-origin', cache: 'no-store' }
  if (signal) init.signal = signal
  if (body !== undefined) {
    init.method = 'POST'
    init.headers = { 'Content-Type': 'application/json' }
    init.body = JSON.stringify(body)
  }
  return init
}

async function answer<T>(target: string, init: RequestInit): Promise<T> {
  const res = await fetch(target, init)
  if (!res.ok) throw await refused(res)
  return (res.status === 204 ? undefined : await res.json()) as T
}

const get = <T>(path: string, query?: Query, signal?: AbortSignal) => answer<T>(url(path, query), init(undefined, signal))
const post = <T>(path: string, body: unknown = {}) => answer<T>(url(path), init(body))

/** Yields the values of a streaming operation as they come; throws the Problem that ends it. */
async function* stream<T>(path: string, body?: unknown, signal?: AbortSignal): AsyncGenerator<T> {
  const res = await fetch(url(path), init(body, signal))
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

/** Exchanges the one-time code of the page's address for a session. */
export const openSession = (code: string) => post<unknown>('session', { code })

export const files = {
  watch: (signal: AbortSignal) => stream<LsOut>('files/watch', undefined, signal),
  show: (ref: string, signal?: AbortSignal) => get<ShowOut>('files/show', { ref }, signal),
  share: (paths: string[], visibility: Visibility, sealed: boolean, signal?: AbortSignal) =>
    stream<ShareOut>('files/share', { paths, for: visibility, private: sealed }, signal),
  get: (link: string) => stream<GetOut>('files/get', { link, detach: true }),
  rm: (ref: string, remove: boolean) => post<RmOut>('files/rm', { ref, delete: remove }),
  pause: (ref: string) => post<unknown>('files/pause', { ref }),
  resume: (ref: string) => post<unknown>('files/resume', { ref }),
  open: (ref: string, index = 0) => post<OpenOut>('files/open', { ref, index }),
  browse: (dir: string) => get<BrowseOut>('files/browse', { dir }),
  limits: () => get<LimitOut>('files/limits'),
  limit: (up: string, down: string) => post<LimitOut>('files/limit', { up, down }),
  uploaded: (batch: string, visibility: Visibility, sealed: boolean) =>
    answer<Shared>(url('files/-/upload/done', { batch, for: visibility, private: sealed }), init({})),
  upload,
}

export const node = {
  status: () => get<StatusOut>('node/status'),
  peers: () => get<Peer[] | null>('node/peers'),
  id: () => get<IDOut>('node/id'),
  people: () => get<PeopleOut>('node/people'),
  connect: (addr: string) => post<unknown>('node/connect', { addr }),
  addPerson: (name: string, peer: string) => post<unknown>('node/people-add', { name, peer }),
  removePerson: (name: string) => post<unknown>('node/people-rm', { name }),
  profile: (name: string) => post<unknown>('node/id-profile', { name }),
  phrase: () => post<PhraseOut>('node/id-phrase'),
  confirm: (words: string[], keep: boolean, passphrase: string) =>
    post<unknown>('node/id-confirm', { words, keep, passphrase: keep ? passphrase : undefined }),
  startLab: (nodes: number) => post<{ url: string }>('node/lab-start', { nodes }),
}

/** The paths that this node offers, for what not every build has. */
export const offers = () =>
  answer<{ paths?: Record<string, unknown> }>('/api/openapi.json', init(undefined)).then((doc) => new Set(Object.keys(doc.paths ?? {})))

/** Sends one file into a batch. XMLHttpRequest, since fetch tells nothing of an upload's progress. */
function upload(batch: string, name: string, path: string, file: File, progress: (sent: number) => void, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest()
    const stop = () => xhr.abort()
    signal.addEventListener('abort', stop, { once: true })
    xhr.upload.onprogress = (e) => progress(e.loaded)
    xhr.onerror = () => reject(new Problem(0, Unreachable))
    xhr.onabort = () => reject(new DOMException('stopped', 'AbortError'))
    xhr.onloadend = () => signal.removeEventListener('abort', stop)
    xhr.onload = () => {
      if (xhr.status < 300) return resolve()
      try {
        reject(fromDetails(JSON.parse(xhr.responseText) as Details, xhr.status))
      } catch {
        reject(new Problem(xhr.status, `error ${xhr.status}`))
      }
    }
    xhr.open('PUT', url('files/-/upload', { batch, name, path }))
    xhr.setRequestHeader('Content-Type', 'application/octet-stream')
    xhr.send(file)
  })
}
