// The page's right to speak to the node: a cookie that a one-time code, in the address that `kith open` opens, is exchanged for.

import { node, openSession, problemOf, type Problem } from './api'
import { fetching } from './store/fetching.svelte'
import type { StatusOut } from './types'

export type Session = { status: StatusOut } | { refused: Problem }

/** Uses the code in the address, if there is one, drops it from the address, and asks the node whether it knows the page. */
export async function begin(): Promise<Session> {
  const handed = new URLSearchParams(location.hash.slice(1))
  const code = handed.get('open')
  if (code) {
    fetching.offered = handed.get('link') ?? '' // kith open LINK: the person still decides
    history.replaceState(null, '', location.pathname + location.search)
    // A code that was used already (a reload, a second tab) is no harm where there is a session; where there is none, the status says so.
    await openSession(code).catch(() => undefined)
  }
  try {
    return { status: await node.status() }
  } catch (err) {
    return { refused: problemOf(err) }
  }
}
