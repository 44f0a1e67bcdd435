// Becoming a contact of who sent an invite. It may wait for them to come online.

import { node, problemOf, type Problem } from '../api'
import { invitation } from '../lib/paste'
import { moved } from './moving'
import { neighbours } from './neighbours.svelte'
import { notices } from './notices.svelte'

class Joining {
  text = $state('') // what is in the box
  busy = $state(false)
  why = $state('') // the reason for waiting
  problem = $state.raw<Problem>()
  #stop = new AbortController()

  async start(text: string) {
    if (this.busy) return
    this.text = text
    this.problem = undefined
    this.why = ''
    const link = invitation(text)
    if (!link) {
      this.problem = problemOf(new Error('There is no invite in this.'))
      return
    }
    this.busy = true
    this.#stop = new AbortController()
    try {
      for await (const now of node.join(link, this.#stop.signal)) {
        this.why = now.why ?? ''
        if (now.state === 'moving') {
          this.why = `this computer moves into the private network ${now.network}, and joins there by itself`
          return await moved(neighbours.status?.started)
        }
        if (now.state !== 'joined') continue
        this.text = ''
        notices.tell(`${now.contact} is one of your people now.`)
        await neighbours.refresh()
      }
    } catch (err) {
      if (!this.#stop.signal.aborted) this.problem = problemOf(err)
    } finally {
      this.busy = false
    }
  }

  stop() {
    this.#stop.abort()
  }
}

export const joining = new Joining()
