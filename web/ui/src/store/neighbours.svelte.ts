// The node itself, its peers, and the people behind them: asked again every few seconds while somebody looks.

import { files, node, offers } from '../api'
import type { Contact, IDOut, LimitOut, Peer, StatusOut } from '../types'

const period = 4000 // milliseconds

class Neighbours {
  status = $state.raw<StatusOut>()
  peers = $state.raw<Peer[]>([])
  people = $state.raw<Contact[]>([])
  pictures = $state.raw<Record<string, string>>({}) // data: URLs, by what Contact.picture says
  me = $state.raw<IDOut>()
  limits = $state.raw<LimitOut>({ up: 0, down: 0, ratio: 2, seed_time: 0 })
  lab = $state(false) // this build can start pretend neighbours

  peer(id: string): Peer | undefined {
    return this.peers.find((p) => p.id === id)
  }

  nameOf(id: string): string {
    return this.people.find((c) => c.peers?.includes(id))?.name ?? this.peer(id)?.name ?? ''
  }

  pictureOf(c: Contact): string {
    return c.picture ? (this.pictures[c.picture] ?? '') : ''
  }

  async #fetchPictures() {
    for (const c of this.people) {
      if (!c.picture || c.picture in this.pictures) continue
      const { picture } = await node.pictureOf(c.name)
      this.pictures = { ...this.pictures, [c.picture]: picture ?? '' }
    }
  }

  #asked = 0
  #heard: Record<string, number> = {} // of each, the latest question that was answered

  /** Asks for everything again. What is answered later than a later question is old, and dropped. */
  async refresh() {
    const n = ++this.#asked
    const settled = <T>(what: string, promise: Promise<T>, use: (value: T) => void) =>
      promise.then(
        (value) => {
          if (n < (this.#heard[what] ?? 0)) return
          this.#heard[what] = n
          use(value)
        },
        () => undefined, // library tells when the node is lost
      )
    await Promise.all([
      settled('status', node.status(), (s) => (this.status = s)),
      settled('peers', node.peers(), (p) => (this.peers = p ?? [])),
      settled('people', node.people(), (p) => (this.people = p.people ?? [])),
      settled('me', node.id(), (me) => (this.me = me)),
      settled('limits', files.limits(), (l) => (this.limits = l)),
    ])
    void this.#fetchPictures().catch(() => undefined) // asked for again the next time
  }

  follow(signal: AbortSignal) {
    void this.refresh()
    void offers().then(
      (paths) => (this.lab = paths.has('/api/node/lab-start')),
      () => undefined,
    )
    const timer = setInterval(() => {
      if (!document.hidden) void this.refresh()
    }, period)
    signal.addEventListener('abort', () => clearInterval(timer))
  }
}

export const neighbours = new Neighbours()
