// Searches that are kept, and what is new for them.

import { search, type Wish } from '../api'
import type { SavedSearch } from '../types'
import { attempt, notices } from './notices.svelte'
import { href } from './route.svelte'

const period = 5000 // milliseconds

class Saved {
  list = $state.raw<SavedSearch[]>([])
  #told: Set<string> | undefined

  /** Follows the node until the signal ends it. */
  follow(signal: AbortSignal) {
    const look = () => {
      if (!document.hidden) void this.look().catch(() => undefined) // library tells when the node is lost
    }
    look()
    const timer = setInterval(look, period)
    signal.addEventListener('abort', () => clearInterval(timer))
  }

  async look() {
    this.#take(await search.saved())
  }

  /** Reports whether a search is kept already. */
  has = (query: string, type: string) => this.list.some((s) => s.query === (type ? `${query.trim()} type:${type}` : query.trim()))

  seen = (name: string) => attempt(async () => this.#take(await search.seen(name)))
  forget = (name: string) => attempt(async () => this.#take(await search.forget(name)))

  save = (query: string, more: Wish) =>
    attempt(async () => {
      let name: string | undefined
      for await (const out of search.find(query, { ...more, limit: 1, local: true, save: query.slice(0, 60).trim() }, new AbortController().signal)) name = out.saved
      await this.look()
      notices.tell(`Saved. You will be told when something new answers ${name}.`)
    })

  /** Says what is new since the page was opened. */
  #take(now: { saved: SavedSearch[] | null }) {
    this.list = now.saved ?? []
    const before = this.#told
    this.#told = new Set(this.list.flatMap((s) => (s.news ?? []).map((n) => `${s.name} ${n.ref}`)))
    if (!before) return
    for (const s of this.list) {
      const fresh = (s.news ?? []).filter((n) => !before.has(`${s.name} ${n.ref}`))
      if (fresh.length > 0) notices.tell(`New for ${s.name}: ${fresh[0]!.name}${fresh.length > 1 ? ` and ${fresh.length - 1} more` : ''}.`, { href: href('search', s.query), action: 'Look' })
    }
  }
}

export const saved = new Saved()
