// Moving into another network: the node starts again, and the page with it.

import { node } from '../api'
import { notices } from './notices.svelte'

const period = 400 // milliseconds
const patience = 30_000 // milliseconds

/** Waits until the node has started again, then loads the page anew; it keeps its session. */
export async function moved(started: string | undefined) {
  for (const end = Date.now() + patience; Date.now() < end; ) {
    await new Promise((go) => setTimeout(go, period))
    const now = await node.status().catch(() => undefined)
    if (now && now.started !== started) return location.reload()
  }
  notices.fail(new Error('Kith has not started again. See what it says in the terminal where it runs.'))
}
