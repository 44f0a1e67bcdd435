// A pretend node for `npm run dev`: enough of the API to see every state of the page. It is never part of the build.
// KITH_API=http://127.0.0.1:PORT makes `npm run dev` speak to a real node instead (see README.md).

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Plugin } from 'vite'
import type { Contact, FindStep, Item, OverlayEntry, OverlayOut, OverlayPeer, Peer, Shared, ShowOut, Source } from '../src/types.ts'

const GB = 1e9
const MB = 1e6
const now = () => new Date().toISOString()
const ref = (n: number) => `bafkr4i${'abcdefghijklmnop'.repeat(4).slice(n, n + 46)}${'qrstuvwxyz'[n % 10]}`
const peerID = (n: number) => `12D3KooW${'QxWbn7TzmVdR4pLs9JfYhKcGa2NuEv5Mt8Ao'.slice(n)}${'AbCdEfGhJkLmNp'.slice(0, 8 + n)}`

function item(n: number, name: string, size: number, more: Partial<Item>): Item {
  const link = `magnet:?xt=urn:blake3:${'0123456789abcdef'.repeat(4)}&x.cid=${ref(n)}&dn=${encodeURIComponent(name)}&xl=${size}&x.kith=/ip4/192.168.1.20/udp/4001/quic-v1/p2p/${peerID(0)}`
  return {
    ref: ref(n), name, size, files: 1, folder: false, kind: 'download', state: 'done', for: 'link', link, short: `kith:AQA${'x9Kd'.repeat(18)}`,
    done: size, rate: 0, up_rate: 0, up: 0, eta: -1, sources: 0, added: now(), path: `/home/ada/Kith/${name}`, ...more,
  }
}

const full = (): Item[] => [
  item(1, 'Festival of small boats.mkv', 1.42 * GB, { state: 'fetching', done: 0.58 * GB, rate: 11.4 * MB, eta: 74, sources: 4, media: 'video/x-matroska', up_rate: 1.2 * MB }),
  item(2, 'Letters from the north', 48 * MB, { state: 'waiting', reason: 'nobody who has it is online now; looking for 4 min', done: 12 * MB, folder: true, files: 31, private: true, eta: -1 }),
  item(3, 'Photos, August', 812 * MB, { kind: 'share', state: 'ready', folder: true, files: 264, up: 3.1 * GB, up_rate: 4.2 * MB, path: '/home/ada/photos/2026-08', for: 'contacts' }),
  item(4, 'debian-13.2-amd64-netinst.iso', 702 * MB, { up: 5.6 * GB, media: 'application/x-iso9660-image', for: 'public' }),
  item(5, 'Recipe for plum cake.txt', 2140, { kind: 'share', state: 'ready', path: '/home/ada/recipe.txt', media: 'text/plain' }),
  item(6, 'Morning radio.ogg', 61 * MB, { state: 'paused', done: 22 * MB, media: 'audio/ogg' }),
  item(7, 'thesis-draft.pdf', 4.1 * MB, { kind: 'share', state: 'gone', reason: 'the file changed on disk since it was shared; share it again', media: 'application/pdf', path: '/home/ada/thesis-draft.pdf' }),
]

const peers: Peer[] = [
  { id: peerID(0), name: 'Grace', addrs: ['/ip4/192.168.1.20/udp/4001/quic-v1'], direct: true, why: 'direct: same network', transport: 'quic', rtt_ms: 2.1, agent: 'kith/0.1', up: 120 * MB, down: 1.1 * GB, since: now() },
  { id: peerID(1), addrs: ['/ip4/203.0.113.9/tcp/4001'], direct: true, why: 'direct: its port is open', transport: 'tcp', rtt_ms: 48, agent: 'kith/0.1', up: 2 * MB, down: 210 * MB, since: now() },
  { id: peerID(2), name: 'Linus', addrs: ['/p2p-circuit'], direct: false, why: 'relayed: both are behind a NAT that could not be opened', transport: 'quic', rtt_ms: 131, agent: 'kith/0.1', up: 0, down: 14 * MB, since: now() },
]

const id = (part: number): string => Math.floor(part * 2 ** 32).toString(16).padStart(8, '0').padEnd(40, '7')
const spot = (part: number): OverlayPeer => ({ id: id(part), peer: `12D3KooW${id(part).slice(0, 12)}` })
const entry = (part: number, of: OverlayEntry['part'], index: number, more: Partial<OverlayEntry> = {}): OverlayEntry => ({ ...spot(part), part: of, index, rtt_ms: 12 + index, connected: true, ...more })
const overlay: OverlayOut = {
  name: 'chord', mode: 'server', network: 'kith', self: { id: id(0.2), peer: peerID(4) },
  entries: [entry(0.62, 'finger', 159), entry(0.46, 'finger', 158, { rtt_ms: -1, connected: false }), entry(0.17, 'predecessor', 0), ...[0.23, 0.25, 0.3, 0.33].map((part, n) => entry(part, 'successor', n + 1, { ...(n === 1 && { name: 'Grace' }), silent: n === 3 }))],
}

const sources: Source[] = [
  { peer: peerID(0), name: 'Grace', state: 'active', have: 1, bytes: 402 * MB, rate: 8.1 * MB, via: 'tcp' },
  { peer: peerID(1), state: 'active', have: 0.83, bytes: 141 * MB, rate: 3.1 * MB, via: 'tcp' },
  { peer: peerID(2), name: 'Linus', state: 'slow', why: 'slower than the others; asked for little', have: 0.4, bytes: 3.2 * MB, rate: 0.2 * MB, via: 'quic' },
  { peer: peerID(3), state: 'cut off', why: 'sent bytes that are not what their name says (group 812)', have: 1, bytes: 0, rate: 0, via: 'quic' },
]

let people: Contact[] = [
  { name: 'Grace', peers: [peerID(0)], devices: ['laptop'], online: true, direct: true, proven: true, added: now() },
  { name: 'Linus', peers: [peerID(2)], devices: ['laptop'], online: true, direct: true, proven: true, added: now() },
  { name: 'Barbara', peers: [peerID(3)], devices: ['laptop'], online: false, direct: false, proven: true, added: now() },
]

const words = 'abandon canal theory orbit velvet lunar daring hockey mirror garden solve oxygen pilot fabric ribbon tunnel clever umbrella wisdom zebra kitchen nature bridge above'.split(' ')

const qr = () => {
  let d = ''
  for (let y = 0; y < 29; y++) for (let x = 0; x < 29; x++) if ((x * 7 + y * 13 + x * y) % 5 < 2) d += `M${x} ${y}h1v1h-1z`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 33 33" shape-rendering="crispEdges"><path fill="#fff" d="M-2-2h33v33h-33z"/><path d="${d}"/></svg>`
}

function show(i: Item): ShowOut {
  const part = i.size > 0 ? i.done / i.size : 0
  const pieces = Uint8Array.from({ length: 512 }, (_, n) => (part === 1 || (n * 37) % 512 < part * 480 ? 255 : (n * 37) % 512 < part * 520 ? 120 : 0))
  const rarity = Uint8Array.from({ length: 512 }, (_, n) => 1 + ((n >> 5) % 3))
  const out: ShowOut = { ...i, from: i.state === 'fetching' ? sources : [], pieces: Buffer.from(pieces).toString('base64'), rarity: Buffer.from(rarity).toString('base64'), qr: qr(), command: `kith get '${i.link}'` }
  if (i.folder) {
    const names = ['readme.txt', 'August/01 harbour.jpg', 'August/02 the long table.jpg', 'August/film/boats.webm', 'September/rain.jpg', 'September/notes.pdf']
    out.tree = names.map((path, index) => ({ index, path, wanted: true, size: 1e6 * (index + 1), done: i.done === i.size ? 1e6 * (index + 1) : 1e6 * index * 0.4, media: path.endsWith('jpg') ? 'image/jpeg' : path.endsWith('webm') ? 'video/webm' : path.endsWith('pdf') ? 'application/pdf' : 'text/plain' }))
  }
  return out
}

function tick(items: Item[]) {
  for (const i of items) {
    if (i.state !== 'fetching') continue
    i.done = Math.min(i.size, i.done + i.rate / 2)
    i.eta = (i.size - i.done) / i.rate
    if (i.done === i.size) Object.assign(i, { state: 'done', rate: 0, sources: 0, eta: -1 })
  }
}

async function body(req: IncomingMessage): Promise<Record<string, never>> {
  let text = ''
  for await (const chunk of req) text += String(chunk)
  try {
    return JSON.parse(text || '{}') as Record<string, never>
  } catch {
    return {}
  }
}

export function mock(): Plugin {
  let items = full()
  const ls = () => ({ items, rate: items.reduce((n, i) => n + i.rate, 0), up_rate: items.reduce((n, i) => n + i.up_rate, 0) })
  const batches = new Map<string, { name: string; size: number; files: number }>()

  async function serve(req: IncomingMessage, res: ServerResponse, next: () => void) {
    const url = new URL(req.url ?? '/', 'http://x')
    if (!url.pathname.startsWith('/api/')) return next()
    const op = url.pathname.slice('/api/'.length)
    const q = url.searchParams
    const json = (v: unknown, status = 200) => {
      res.writeHead(status, { 'content-type': 'application/json' })
      res.end(JSON.stringify(v))
    }
    const problem = (status: number, kind: string, detail: string, hint?: string) => json({ status, title: kind, kind, detail, hint }, status)
    const events = () => {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      return { send: (v: unknown) => res.write(`data: ${JSON.stringify(v)}\n\n`), end: () => res.end('event: end\ndata:\n\n') }
    }
    const find = (r: string | null) => items.find((i) => i.ref === r)

    switch (op) {
      case 'mock/empty': items = []; people = []; peers.length = 0; return json({})
      case 'mock/locked': locked = true; return json({})
      case 'session': return json({ proof: 'mock' })
      case 'openapi.json': return json({ paths: { '/api/node/lab-start': {} } })
      case 'node/status':
        if (locked) return problem(401, 'denied', 'no session')
        return json({ version: '0.1.0', peer_id: peerID(4), network: 'kith', dir: '/home/ada/.local/share/kith', command: 'kith', pid: 4711, started: now(), api: '127.0.0.1:4780', listening: [{ for: 'api', addr: '127.0.0.1:4780' }, { for: 'peers', addr: '/ip4/0.0.0.0/udp/4001/quic-v1' }, { for: 'peers', addr: '/ip4/0.0.0.0/tcp/4001' }], peers: peers.length, overlay: 'kad-dht, server, 3 in its table', stored: 2.2 * GB, quota: 0, memory: 41 * MB, rate: ls().rate, up_rate: ls().up_rate, notes: ['port 4001 was taken; this node listens on 4002 and keeps it'] })
      case 'node/peers': return json(peers)
      case 'node/overlay': return json(overlay)
      case 'node/overlay-find': {
        const e = events()
        const [a, b] = overlay.entries
        const steps: Partial<FindStep>[] = [{ what: 'begins', key: id(0.71), key_is: 'text', names: [a!, b!] }, { what: 'asks', peer: a! }, { what: 'asks', peer: b! }, { what: 'answers', peer: a!, took_ms: 31, names: [spot(0.7), spot(0.73)] }, { what: 'asks', peer: spot(0.73) }, { what: 'silent', peer: b! }, { what: 'answers', peer: spot(0.73), took_ms: 44, mine: true }, { what: 'ends', names: [spot(0.73)], asked: 3, answered: 2 }]
        for (const [n, s] of steps.entries()) { e.send({ after_ms: 40 * n, ...s }); await new Promise((r) => setTimeout(r, 300)) }
        return e.end()
      }
      case 'node/id': return json({ person: 'did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK', peer_id: peerID(4), addrs: [`/ip4/192.168.1.7/udp/4002/quic-v1/p2p/${peerID(4)}`, `/ip4/192.168.1.7/tcp/4002/p2p/${peerID(4)}`], name: 'Ada', device: 'workbench', master: 'here' })
      case 'node/people': return json({ people })
      case 'node/people-add': { const b = await body(req); people = [...people, { name: b['name'] ?? '', peers: [b['peer'] ?? ''], devices: [''], online: true, direct: true, proven: false, added: now() }]; return json({}) }
      case 'node/invite-ls': return json({ invites: [] })
      case 'node/people-rm': { const b = await body(req); people = people.filter((p) => p.name !== b['name']); return json({}) }
      case 'node/id-phrase': return json({ phrase: words, ask: [3, 11, 20] })
      case 'node/id-confirm': { const b = (await body(req)) as { words?: string[] }; return [3, 11, 20].every((n, k) => b.words?.[k] === words[n - 1]) ? json({}) : problem(400, 'invalid', 'these are not the words', 'look at your note again: word 3 is wrong') }
      case 'node/connect': return problem(503, 'unavailable', 'nobody answers there', 'check that the other computer is on, and that the address ends in /p2p/ and its id')
      case 'files/watch': {
        const e = events()
        e.send(ls())
        const timer = setInterval(() => { tick(items); e.send(ls()) }, 500)
        req.on('close', () => clearInterval(timer))
        return
      }
      case 'files/show': { const i = find(q.get('ref')); return i ? json(show(i)) : problem(404, 'not found', 'nothing here is called that') }
      case 'files/limits': return json({ up: 0, down: 5 * MB, ratio: 2 })
      case 'files/limit': return json({ up: 0, down: 0, ratio: 2 })
      case 'files/rm': { const b = await body(req); items = items.filter((i) => i.ref !== b['ref']); return json({ ref: b['ref'], name: '', deleted: false }) }
      case 'files/pause': case 'files/resume': { const b = await body(req); const i = find(b['ref'] ?? ''); if (i) Object.assign(i, op === 'files/pause' ? { state: 'paused', rate: 0 } : { state: 'fetching', rate: 5 * MB }); return json({}) }
      case 'files/open': return json({ url: '/icon.svg', media: 'image/svg+xml' })
      case 'files/get': {
        const b = await body(req)
        const name = new URLSearchParams(String(b['link']).split('?')[1] ?? '').get('dn') ?? 'something'
        if (name === 'bad') return problem(400, 'invalid', 'the key behind the # is damaged', 'copy the whole link, to its last character')
        const i = item(10 + items.length, name, 240 * MB, { state: 'finding', done: 0, reason: 'asking 3 peers who has it', media: 'video/webm' })
        items = [i, ...items]
        setTimeout(() => Object.assign(i, { state: 'fetching', rate: 20 * MB, sources: 2, reason: '' }), 1500)
        const e = events(); e.send({ ...i, sources: 0 }); return e.end()
      }
      case 'files/share': {
        const b = (await body(req)) as { paths?: string[]; for?: 'link'; private?: boolean }
        const shared: Shared[] = (b.paths ?? []).map((path, n) => { const i = item(20 + items.length + n, path.split('/').pop() ?? path, 90 * MB, { kind: 'share', state: 'ready', path, for: b.for ?? 'link' }); items = [i, ...items]; const { networks, ...rest } = i; return { ...rest, for: i.for, ...(networks ? { networks: networks.map((n) => n.network) } : {}) } })
        const e = events()
        for (let done = 0; done <= 10; done++) { e.send({ file: b.paths?.[0] ?? '', done: done * 9e6, total: 9e7 }); await new Promise((r) => setTimeout(r, 150)) }
        e.send({ done: 9e7, total: 9e7, shared }); return e.end()
      }
      case 'files/browse': { const dir = q.get('dir') || '/home/ada'; return json({ dir, parent: dir === '/' ? undefined : dir.replace(/\/[^/]*$/, '') || '/', entries: [...['Documents', 'Films', 'Music', 'Pictures'].map((name) => ({ name, path: `${dir}/${name}`, folder: true, size: 0 })), { name: 'plans.pdf', path: `${dir}/plans.pdf`, folder: false, size: 1.2 * MB }, { name: 'boats.mkv', path: `${dir}/boats.mkv`, folder: false, size: 1.4 * GB }] }) }
      case 'files/-/upload': {
        let size = 0
        for await (const c of req) size += (c as Buffer).length
        const b = batches.get(q.get('batch') ?? '') ?? { name: (q.get('path') ?? '').split('/')[0] ?? '', size: 0, files: 0 }
        batches.set(q.get('batch') ?? '', { name: b.name, size: b.size + size, files: b.files + 1 })
        return json({})
      }
      case 'files/-/upload/done': { const b = batches.get(q.get('batch') ?? ''); if (!b) return problem(404, 'not found', 'no such upload'); const i = item(20 + items.length, b.name, b.size, { kind: 'share', state: 'ready', files: b.files, folder: b.files > 1 }); items = [i, ...items]; return json(i) }
      default: return problem(404, 'not found', `no operation ${op}`)
    }
  }

  let locked = false
  const api = process.env['KITH_API']
  return {
    name: 'kith-mock',
    apply: 'serve',
    config: () => (api ? { server: { proxy: { '/api': { target: api, changeOrigin: true, headers: { origin: api } } } } } : {}),
    configureServer(server) {
      if (!api) server.middlewares.use((req, res, next) => void serve(req, res, next))
    },
  }
}
