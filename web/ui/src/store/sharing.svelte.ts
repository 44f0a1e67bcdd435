// One sharing from the page: what was dropped, picked, or chosen on the node's computer, until its link is there.

import { files, Problem, problemOf } from '../api'
import { bundle, under, type Bundle, type Picked } from '../lib/drop'
import { isTorrent } from '../lib/paste'
import type { Shared, Visibility } from '../types'
import { fetching } from './fetching.svelte'
import { here, href } from './route.svelte'
import { notices } from './notices.svelte'

const atOnce = 3 // uploads

export type Stage = 'none' | 'browse' | 'choose' | 'working' | 'done' | 'failed'

class Sharing {
  stage = $state<Stage>('none')
  shown = $state(false) // the dialog is open; the work goes on without it
  bundle = $state.raw<Bundle>() // to upload, or
  paths = $state.raw<string[]>([]) // to share in place
  name = $state('')
  visibility = $state<Visibility>('link')
  sealed = $state(false)
  networks = $state.raw<string[]>([]) // public networks that this node can share with
  public = $state(false) // it goes there too

  done = $state(0)
  total = $state(0)
  file = $state('')
  shared = $state.raw<Shared[]>([])
  problem = $state.raw<Problem>()
  #stop = new AbortController()

  get busy() {
    return this.stage === 'working'
  }

  /** Shows what runs already, instead of beginning anew. */
  #taken(): boolean {
    if (this.busy) this.shown = true
    return this.busy
  }

  pick(picked: Picked[]) {
    if (picked.length === 0 || this.#taken()) return
    const [only] = picked
    if (picked.length === 1 && only && isTorrent(only.path)) { // it says what to fetch
      void fetching.torrent(only.file).then((ok) => ok || here.go('home'))
      return
    }
    this.#begin('choose')
    this.bundle = bundle(picked)
    this.name = this.bundle.name
  }

  browse() {
    if (!this.#taken()) this.#begin('browse')
  }

  place(paths: string[]) {
    this.#begin('choose')
    this.paths = paths
    this.name = paths.length === 1 ? (paths[0]?.split(/[/\\]/).filter(Boolean).pop() ?? '') : `${paths.length} things`
  }

  #begin(stage: Stage) {
    Object.assign(this, { stage, shown: true, bundle: undefined, paths: [], visibility: 'link', sealed: false, public: false, done: 0, total: 0, file: '', shared: [], problem: undefined })
    this.#stop = new AbortController()
    void files.networks().then((out) => (this.networks = out.networks ?? []), () => undefined)
  }

  /** Where it goes beside Kith: nowhere, if it is for contacts alone. */
  get #networks(): string[] {
    return this.public && this.visibility !== 'contacts' ? this.networks : []
  }

  close() {
    this.shown = false
    if (!this.busy) this.stage = 'none'
  }

  stop() {
    this.#stop.abort()
  }

  async start() {
    this.stage = 'working'
    this.done = 0
    try {
      this.shared = this.bundle ? [await this.#upload(this.bundle)] : await this.#inPlace()
      this.stage = 'done'
      const [first] = this.shared
      if (!this.shown && first) notices.tell(`${first.name} is shared.`, { href: href('files', first.ref), action: 'Show its link' })
    } catch (err) {
      if (this.#stop.signal.aborted) {
        this.stage = 'none'
        this.shown = false
        return
      }
      this.problem = problemOf(err)
      this.stage = 'failed'
      this.shown = true
    }
  }

  async #inPlace(): Promise<Shared[]> {
    for await (const now of files.share(this.paths, this.visibility, this.sealed, this.#networks, this.#stop.signal)) {
      this.done = now.done
      this.total = now.total
      this.file = now.file ?? ''
      if (now.shared?.length) return now.shared
    }
    throw new Problem(0, 'Kith ended the sharing without a link.')
  }

  async #upload(b: Bundle): Promise<Shared> {
    const batch = crypto.randomUUID()
    this.total = b.size
    const sent = new Map<Picked, number>()
    const count = (p: Picked, n: number) => {
      this.done += n - (sent.get(p) ?? 0)
      sent.set(p, n)
    }
    const queue = [...b.files]
    const worker = async () => {
      for (let p = queue.shift(); p; p = queue.shift()) {
        const mine = p
        this.file = mine.path
        const path = b.loose ? under(this.name || b.name, mine.path) : mine.path
        await files.upload(batch, path, mine.file, (n) => count(mine, Math.min(n, mine.file.size)), this.#stop.signal)
        count(mine, mine.file.size)
      }
    }
    try {
      await Promise.all(Array.from({ length: Math.min(atOnce, queue.length) }, worker))
      this.file = ''
      return await files.uploaded(batch, this.visibility, this.sealed, this.#networks)
    } catch (err) {
      queue.length = 0 // the other workers end with their file
      void files.dropUpload(batch).catch(() => undefined) // the node clears what is left when it starts
      throw err
    }
  }
}

export const sharing = new Sharing()
