// The page's right to speak to the node: a cookie that a one-time code, in the address that `kith open` opens, is exchanged for.

import { node, openSession, problemOf, proofKey, type Problem } from './api'
import { fetching } from './store/fetching.svelte'
import type { StatusOut } from './types'

export type Session = { status: StatusOut } | { refused: Problem }

/** How a command line for this node begins; it is known once there has been a session. */
export const shell = { kith: 'kith', entered: false }

/** Calls enter when there may be a session again: its address was opened in this tab, or the page in another one. */
export function onReturn(enter: () => void): () => void {
  const opened = () => location.hash.startsWith('#open=') && enter()
  const elsewhere = (e: StorageEvent) => e.key === proofKey && enter()
  addEventListener('hashchange', opened)
  addEventListener('storage', elsewhere)
  return () => {
    removeEventListener('hashchange', opened)
    removeEventListener('storage', elsewhere)
  }
}

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
    const status = await node.status()
    shell.kith = status.command
    shell.entered = true
    return { status }
  } catch (err) {
    return { refused: problemOf(err) }
  }
}
