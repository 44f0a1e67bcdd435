// Short messages at the edge of the page. Errors stay until they are closed; the rest goes by itself. What is said again takes the place of what was said before.

import { problemOf } from '../api'

export interface Notice {
  id: number
  text: string
  hint: string
  bad: boolean
  href: string
  action: string
}

const stay = 6000 // milliseconds
const most = 4

class Notices {
  list = $state.raw<Notice[]>([])
  #next = 1

  tell(text: string, link?: { href: string; action: string }) {
    const id = this.#add({ text, hint: '', bad: false, href: link?.href ?? '', action: link?.action ?? '' })
    setTimeout(() => this.close(id), stay)
  }

  fail(err: unknown) {
    const p = problemOf(err)
    this.#add({ text: p.detail, hint: p.hint, bad: true, href: '', action: '' })
  }

  close(id: number) {
    this.list = this.list.filter((n) => n.id !== id)
  }

  #add(n: Omit<Notice, 'id'>): number {
    const id = this.#next++
    const others = this.list.filter((o) => o.text !== n.text || o.hint !== n.hint || o.href !== n.href)
    this.list = [...others.slice(1 - most), { id, ...n }]
    return id
  }
}

export const notices = new Notices()

/** Runs what a click asks for, and tells when it fails. */
export async function attempt<T>(run: () => Promise<T>): Promise<T | undefined> {
  try {
    return await run()
  } catch (err) {
    notices.fail(err)
    return undefined
  }
}
