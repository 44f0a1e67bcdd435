// What is looked for in the network, while a person types.

import { problemOf, search, type Problem, type Wish } from '../api'
import type { SearchOut } from '../types'

const pause = 120 // milliseconds without a key before the node is asked
const least = 2 // characters that are worth a search

export class Finding {
  out = $state.raw<SearchOut>()
  problem = $state.raw<Problem>()
  #timer = 0
  #stop?: AbortController | undefined

  /** Looks for what the words say, once no other key has come for a moment: here, and with others too if they were typed to their end. */
  look(words: string, more: Wish = {}) {
    this.end()
    if (words.trim().length < least) {
      this.out = this.problem = undefined
      return
    }
    this.#timer = window.setTimeout(() => void this.#ask(words, { typing: true, ...more }), pause)
  }

  end() {
    clearTimeout(this.#timer)
    this.#stop?.abort()
  }

  async #ask(words: string, more: Wish) {
    const stop = (this.#stop = new AbortController())
    try {
      for await (const out of search.find(words, more, stop.signal)) {
        if (stop.signal.aborted) return
        this.out = out
        this.problem = undefined
      }
    } catch (err) {
      if (!stop.signal.aborted) this.problem = problemOf(err)
    }
  }
}
