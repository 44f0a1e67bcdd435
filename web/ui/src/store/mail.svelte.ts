// What people send here and what is sent to them, as the node tells it; and the sending of what was dropped on somebody.

import { files, send } from '../api'
import { bundle, under, type Picked } from '../lib/drop'
import type { Delivery } from '../types'
import { attempt, notices } from './notices.svelte'
import { href } from './route.svelte'
import { call } from '../lib/call'

const again = 4000 // milliseconds until the node is asked again after it was lost

/** Whether a delivery may still change. */
export const open = (d: Delivery): boolean => !['delivered', 'declined', 'cancelled', 'expired', 'failed'].includes(d.state)

class Mail {
  in = $state.raw<Delivery[]>([])
  out = $state.raw<Delivery[]>([])
  /** What is being brought to the node before it can be sent: to whom, and how far, 0 to 1. */
  posting = $state.raw<{ who: string; part: number }>()
  /** What was dropped on somebody, or picked for them, until it is sent. */
  picked = $state.raw<{ who: string; files: Picked[] }>()
  /** Offers that wait for a decision. */
  waiting = $derived(this.in.filter((d) => d.state === 'offered').length)
  #seen: Set<string> | undefined

  /** Follows the node until the signal ends it. */
  async follow(signal: AbortSignal) {
    while (!signal.aborted) {
      try {
        for await (const now of send.mail(signal)) {
          this.in = now.in ?? []
          this.out = now.out ?? []
          this.#tell()
        }
      } catch {
        if (signal.aborted) return // library tells when the node is lost
      }
      await new Promise((resolve) => setTimeout(resolve, again))
    }
  }

  /** Says what is new since the page was opened. */
  #tell() {
    const key = (d: Delivery) => `${d.who} ${d.id} ${d.state === 'delivered' ? 'here' : ''}`
    const before = this.#seen
    this.#seen = new Set(this.in.map(key))
    if (!before) return
    for (const d of this.in) {
      if (before.has(key(d))) continue
      if (d.state === 'offered') {
        notices.tell(`${d.who} sends you ${d.name}.`, { href: href('home'), action: 'Look' })
        call(`${d.who} sends you ${d.name}`, d.note ?? '', href('home'))
      }
      if (d.state === 'delivered') {
        notices.tell(`${d.name} from ${d.who} is here.`, { href: href('files', d.ref ?? ''), action: 'Show it' })
        call(`${d.name} from ${d.who} is here`, '', href('files', d.ref ?? ''))
      }
    }
  }

  pick(who: string, files: Picked[]) {
    if (files.length > 0) this.picked = { who, files }
  }

  /** Sends once more what has ended without having come. */
  async again(d: Delivery) {
    await attempt(async () => {
      for await (const now of send.send(d.who, [d.path ?? ''], d.note ?? '')) this.#posted(d.who, now.sent?.[0]?.name ?? d.name)
    })
  }

  /** Sends what was dropped or picked. A browser gives no paths, so it is brought to the node first. */
  async post(who: string, picked: Picked[], note: string) {
    if (picked.length === 0) return
    if (this.posting) return notices.tell(`What is for ${this.posting.who} is being got ready still. Try again in a moment.`)
    const b = bundle(picked)
    const batch = crypto.randomUUID()
    let before = 0
    this.posting = { who, part: 0 }
    await attempt(async () => {
      try {
        for (const p of b.files) {
          const path = b.loose ? under(b.name, p.path) : p.path
          await files.upload(batch, path, p.file, (n) => (this.posting = { who, part: b.size > 0 ? (before + n) / b.size : 1 }), new AbortController().signal)
          before += p.file.size
        }
        const shared = await files.uploaded(batch, 'contacts', true, [])
        for await (const now of send.send(who, [shared.path ?? ''], note)) this.#posted(who, now.sent?.[0]?.name ?? b.name)
        await files.rm(shared.ref, false) // the delivery has a share of its own
      } catch (err) {
        void files.dropUpload(batch).catch(() => undefined) // the node clears what is left when it starts
        throw err
      }
    })
    this.posting = undefined
  }

  #posted(who: string, name: string) {
    notices.tell(`${name} is on its way to ${who}.`, { href: href('home'), action: 'Look' })
  }
}

export const mail = new Mail()
