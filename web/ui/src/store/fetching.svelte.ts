// Begins a download from a link that somebody pasted.

import { files, problemOf, type Problem } from '../api'
import { deviceLink, foreignMagnet, invitation, recognise } from '../lib/paste'
import { joining } from './joining.svelte'
import { here } from './route.svelte'

class Fetching {
  busy = $state(false)
  problem = $state.raw<Problem>()
  /** A link that another program handed over, for the box. */
  offered = $state('')

  /** Begins, and goes to the item's page as soon as the node knows it. The download itself goes on in the node. */
  async start(text: string): Promise<boolean> {
    const found = recognise(text)
    this.problem = undefined
    if (!found && invitation(text)) {
      here.go('people') // where it is seen how joining goes
      void joining.start(text)
      return true
    }
    if (!found && deviceLink(text)) {
      this.problem = problemOf(new Error('This links two devices of one person. Paste it on your own page, behind the picture at the top right, under “Your devices”.'))
      return false
    }
    if (!found) {
      this.problem = problemOf(new Error(foreignMagnet(text) ? 'This magnet link is of a network that Kith does not speak yet.' : 'There is no link in this.'))
      return false
    }
    return this.#begin(found.link)
  }

  /** Begins what a .torrent file says. */
  async torrent(file: Blob): Promise<boolean> {
    this.problem = undefined
    try {
      return await this.#begin((await files.torrent(file)).link)
    } catch (err) {
      this.problem = problemOf(err)
      return false
    }
  }

  async #begin(link: string): Promise<boolean> {
    this.busy = true
    try {
      for await (const now of files.get(link)) {
        if (now.ref) {
          here.go('files', now.ref)
          return true
        }
      }
      return true
    } catch (err) {
      this.problem = problemOf(err)
      return false
    } finally {
      this.busy = false
    }
  }
}

export const fetching = new Fetching()
