// What the operations take and give, as apps/files/types.go and node/types.go define them.

export type Visibility = 'link' | 'contacts' | 'public'
export type State = 'ready' | 'gone' | 'finding' | 'fetching' | 'waiting' | 'paused' | 'checking' | 'done' | 'failed'

export interface Shared {
  link: string
  short: string
  ref: string
  name: string
  size: number
  files: number
  path?: string
  for: Visibility
  private?: boolean
}

export interface ShareOut {
  file?: string
  done: number
  total: number
  shared?: Shared[] | null
}

export interface GetOut {
  path: string
  size: number
  sources: number
  ref: string
  name: string
  state: State
  reason?: string
  done: number
  rate: number
  eta: number
  link?: string
}

export interface Item {
  ref: string
  name: string
  size: number
  files: number
  folder: boolean
  kind: 'share' | 'download'
  state: State
  reason?: string
  for: Visibility
  private?: boolean
  path?: string
  link: string
  short: string
  done: number
  rate: number
  up_rate: number
  up: number
  eta: number
  sources: number
  added: string
  media?: string
}

export interface LsOut {
  items: Item[] | null
  rate: number
  up_rate: number
}

export interface Source {
  peer: string
  name?: string
  state: 'connecting' | 'active' | 'idle' | 'slow' | 'dropped' | 'cut off'
  why?: string
  have: number
  bytes: number
  rate: number
  via?: string
}

export interface TreeEntry {
  index: number
  path: string
  size: number
  done: number
  media?: string
}

export interface ShowOut extends Item {
  from: Source[] | null
  pieces: string
  rarity?: string
  tree?: TreeEntry[] | null
  more?: number
  qr: string
  command: string
}

export interface RmOut {
  ref: string
  name: string
  deleted: boolean
  path?: string
}

export interface OpenOut {
  url: string
  media: string
}

export interface BrowseEntry {
  name: string
  path: string
  folder: boolean
  size: number
}

export interface BrowseOut {
  dir: string
  parent?: string
  entries: BrowseEntry[] | null
}

export interface LimitOut {
  up: number
  down: number
}

export interface Peer {
  id: string
  name?: string
  addrs: string[] | null
  direct: boolean
  why: string
  transport: string
  rtt_ms: number
  agent?: string
  up: number
  down: number
  since: string
}

export interface IDOut {
  person: string
  peer_id: string
  addrs: string[] | null
  name?: string
  picture?: string
  device: string
  master: 'here' | 'locked' | 'away'
}

export interface PhraseOut {
  phrase: string[] | null
  ask: number[] | null
}

export interface Listener {
  for: string
  addr: string
}

export interface StatusOut {
  version: string
  peer_id: string
  network: string
  dir: string
  pid: number
  started: string
  api: string
  listening: Listener[] | null
  peers: number
  overlay: string
  stored: number
  quota: number
  memory: number
  rate: number
  up_rate: number
  notes?: string[] | null
}

export interface Contact {
  name: string
  peers: string[] | null
  online: boolean
  added: string
}

export interface PeopleOut {
  people: Contact[] | null
}
