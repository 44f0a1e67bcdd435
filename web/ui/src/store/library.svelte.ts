// What is shared and fetched, as the node tells it, twice a second while something changes.

import { files, problemOf } from '../api'
import type { Guest, Item } from '../types'

const longestPause = 8000 // milliseconds between attempts to reach the node again

class Library {
  items = $state.raw<Item[]>([])
  guests = $state.raw<Guest[]>([]) // web links for the local network
  rate = $state(0)
  upRate = $state(0)
  loaded = $state(false)
  lost = $state(false) // the node does not answer
  locked = $state(false) // the session has ended

  find(ref: string): Item | undefined {
    return this.items.find((i) => i.ref === ref)
  }

  /** Follows the node until the signal ends it, through restarts of the node. */
  async follow(signal: AbortSignal) {
    let pause = 250
    this.locked = false
    while (!signal.aborted) {
      try {
        for await (const now of files.watch(signal)) {
          this.items = now.items ?? []
          this.guests = now.guests ?? []
          this.rate = now.rate
          this.upRate = now.up_rate
          this.loaded = true
          this.lost = false
          pause = 250
        }
      } catch (err) {
        if (signal.aborted) return
        const status = problemOf(err).status
        this.locked = status === 401 || status === 403
        if (this.locked) return
        this.lost = pause > 250
      }
      await new Promise((resolve) => setTimeout(resolve, pause))
      pause = Math.min(longestPause, pause * 2)
    }
  }
}

export const library = new Library()
