// Who and what a search shows no more, on this computer.

import { search, type ReportWhy } from '../api'
import type { BlockList, Hidden } from '../types'
import { attempt, notices } from './notices.svelte'

class Hiding {
  hidden = $state.raw<Hidden[]>([])
  lists = $state.raw<BlockList[]>([])

  look = () =>
    attempt(async () => {
      this.hidden = (await search.hidden()).hidden ?? []
      this.lists = (await search.lists()).lists ?? []
    })

  hide = (what: string, name: string) =>
    attempt(async () => {
      this.hidden = (await search.hide(what, name)).hidden ?? []
      notices.tell(what.startsWith('1') ? 'What they share is shown no more. Undo it below the results.' : `${name} is shown no more. Undo it below the results.`)
    })

  report = (what: string, why: ReportWhy, name: string) =>
    attempt(async () => {
      this.hidden = (await search.report(what, why, name)).hidden ?? []
      notices.tell(`${what.startsWith('1') ? 'What they share' : name} is shown no more, and your contacts are told. Undo it below the results.`)
    })

  show = (what: string) =>
    attempt(async () => {
      this.hidden = (await search.unhide(what)).hidden ?? []
    })

  add = (file: File) =>
    attempt(async () => {
      this.lists = (await search.addList(file.name, await file.text())).lists ?? []
    })

  remove = (name: string) =>
    attempt(async () => {
      this.lists = (await search.removeList(name)).lists ?? []
    })
}

export const hiding = new Hiding()
