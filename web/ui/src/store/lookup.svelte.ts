// One lookup on the overlay: its steps are shown one after the other, at a pace at which eyes can follow.

import { node, problemOf, type Problem } from '../api'
import { courseOf } from '../lib/overlay'
import type { FindStep } from '../types'

const pace = 320 // milliseconds between two steps
const longest = 8000 // for all that wait to be shown

class Lookup {
  busy = $state(false)
  problem = $state.raw<Problem>()
  #steps = $state.raw<FindStep[]>([])
  course = $derived(courseOf(this.#steps))
  #waiting: FindStep[] = []
  #timer = 0
  #stop = new AbortController()

  async start(key: string) {
    this.clear()
    this.busy = true
    const stop = (this.#stop = new AbortController())
    try {
      for await (const { steps: _, ...step } of node.find(key, stop.signal)) {
        this.#waiting.push(step)
        if (!this.#timer) this.#show()
      }
    } catch (err) {
      if (!stop.signal.aborted) this.problem = problemOf(err)
    } finally {
      if (stop === this.#stop && !this.#timer) this.busy = false
    }
  }

  /** Shows at once what waits. */
  skip() {
    clearTimeout(this.#timer)
    this.#timer = 0
    this.#steps = [...this.#steps, ...this.#waiting]
    this.#waiting = []
    this.busy = !this.course.ended && !this.problem
  }

  clear() {
    this.#stop.abort()
    clearTimeout(this.#timer)
    this.#timer = 0
    this.#waiting = []
    this.#steps = []
    this.problem = undefined
    this.busy = false
  }

  #show = () => {
    this.#timer = 0
    if (matchMedia('(prefers-reduced-motion: reduce)').matches) return this.skip()
    const next = this.#waiting.shift()
    if (!next) {
      this.busy = !this.problem
      return
    }
    this.#steps = [...this.#steps, next]
    if (next.what === 'ends') this.busy = false
    else this.#timer = window.setTimeout(this.#show, Math.min(pace, longest / (this.#waiting.length + 1)))
  }
}

export const lookup = new Lookup()
