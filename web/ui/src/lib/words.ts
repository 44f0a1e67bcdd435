// What the page says of an item: one sentence for each state, the same everywhere.

import type { Item, ItemNetwork, Source, Tracker, Visibility } from '../types'
import { bytes, count, duration, fraction, percent, plainly, rate, sentence } from './format'

export const incoming = (i: Item): boolean => ['finding', 'fetching', 'waiting', 'paused', 'checking'].includes(i.state)

export const complete = (i: Item): boolean => i.state === 'ready' || i.state === 'done'

export const troubled = (i: Item): boolean => i.state === 'gone' || i.state === 'failed'

/** It comes or goes right now, or wants to. */
export const moving = (i: Item): boolean => incoming(i) || i.state === 'failed' || i.up_rate >= 1

const audiences: Record<Visibility, string> = {
  link: 'Whoever has the link',
  contacts: 'Your contacts',
  public: 'Everybody',
}

export const audience = (v: Visibility): string => audiences[v]

const networkNames: Record<string, string> = { bittorrent: 'BitTorrent', ipfs: 'IPFS', web: 'the web', import: 'another program' }

/** What people call a network. */
export const networkName = (n: string): string => networkNames[n] ?? n

/** Until when what came from another network is given back there. */
function givenBack(n: ItemNetwork): string {
  const left = n.ends ? `for another ${duration(Math.max(0, (Date.parse(n.ends) - Date.now()) / 1000))}` : ''
  const often = n.until ? `until ${n.until.toFixed(1)} times its size was sent` : ''
  return left || often ? `Given back ${[often, left].filter(Boolean).join(', or ')}` : ''
}

/** What an item does in another network, in one line. */
export function inNetwork(n: ItemNetwork): string {
  const doing = n.state ? ({ connecting: 'Connecting', active: 'Fetching', idle: 'Nothing to fetch there now', slow: 'Slow', dropped: 'Lost', 'cut off': 'Cut off' })[n.state] : n.served ? givenBack(n) : n.names?.length ? 'Known there, not served' : 'Not served'
  const came = n.bytes ? `${bytes(n.bytes)} came${n.rate && n.rate >= 1 ? ` at ${rate(n.rate)}` : ''}` : ''
  const sent = n.up ? `${bytes(n.up)} sent${n.up_rate && n.up_rate >= 1 ? ` at ${rate(n.up_rate)}` : ''}, ratio ${(n.ratio ?? 0).toFixed(2)}` : ''
  return join(doing, n.peers > 0 ? count(n.peers, 'peer') : '', came, sent)
}

const join = (...parts: string[]): string => sentence(parts.filter(Boolean).join(' · '))

/** Size and what it is. */
export function extent(i: Item): string {
  const size = i.size < 0 ? 'size not known yet' : bytes(i.size)
  return i.folder && i.files > 0 ? join(count(i.files, 'file'), size) : size
}

/** What is happening to it, in one line; without its percentage where that stands beside it already. */
export function activity(i: Item, withPart = true): string {
  const part = withPart && i.size >= 0 ? percent(fraction(i.done, i.size)) : ''
  const left = i.eta >= 0 ? `${duration(i.eta)} left` : ''
  switch (i.state) {
    case 'finding':
      return i.reason ? join('Looking', plainly(i.reason)) : 'Looking for somebody who has it'
    case 'fetching':
      return join(part, rate(i.rate) || i.reason || 'Starting', left, i.sources > 0 ? count(i.sources, 'source') : '')
    case 'waiting':
      return join(part, i.reason || 'Waiting')
    case 'paused':
      return join('Paused', part)
    case 'checking':
      return join('Checking what is on disk', part)
    case 'failed':
      return sentence(plainly(i.reason ?? '') || 'It did not work')
    case 'gone':
      return sentence(plainly(i.reason ?? '') || 'It is not where it was')
    case 'ready':
    case 'done':
      return i.up_rate >= 1 ? `Sending ${rate(i.up_rate)}` : join(i.kind === 'share' ? 'Shared' : i.part ? 'Part of it is here' : 'Here', i.up > 0 ? `${bytes(i.up)} sent` : '', plainly(i.reason ?? ''))
  }
}

/** An address that something listens on, without the hashes of its certificates, which are for programs. */
export const listening = (addr: string): string => addr.replace(/\/certhash\/.*/, '')

type Tone = '' | 'good' | 'warn' | 'bad'

/** The state as a tag: a word and its tone. */
export function badge(i: Item): { text: string; tone: Tone } {
  switch (i.state) {
    case 'ready':
      return { text: 'Shared', tone: 'good' }
    case 'done':
      return { text: i.part ? 'Part of it' : 'Complete', tone: 'good' }
    case 'fetching':
      return { text: 'Fetching', tone: 'good' }
    case 'finding':
      return { text: 'Looking', tone: '' }
    case 'checking':
      return { text: 'Checking', tone: '' }
    case 'paused':
      return { text: 'Paused', tone: '' }
    case 'waiting':
      return { text: 'Waiting', tone: 'warn' }
    case 'gone':
      return { text: 'Gone', tone: 'bad' }
    case 'failed':
      return { text: 'Failed', tone: 'bad' }
  }
}

export function sourceTone(s: Source): Tone {
  if (s.state === 'active') return 'good'
  if (s.state === 'slow') return 'warn'
  return s.state === 'cut off' || s.state === 'dropped' ? 'bad' : ''
}

/** What was heard of a tracker last, and when it is asked again. */
export function heard(t: Tracker, now = Date.now()): string {
  if (!t.asked) return t.url.startsWith('ws') ? 'Asked over a WebSocket' : 'Not asked yet'
  const ago = `${duration(Math.max(0, (now - Date.parse(t.asked)) / 1000))} ago`
  const left = t.next ? (Date.parse(t.next) - now) / 1000 : 0
  return join(t.why ? `Failed ${ago}: ${t.why}` : `Named ${count(t.peers, 'peer')} ${ago}`, left > 0 ? `asked again in ${duration(left)}` : '')
}

export type Look = 'video' | 'audio' | 'image' | 'page' | 'other'

/**
 * How a medium is looked at: in place, on a page of its own, or saved. It follows what the node's content origin does: documents that
 * could run something (HTML, SVG, PDF) are only ever saved.
 */
export function look(media = ''): Look {
  const type = media.split('/')[0]
  if (media.startsWith('image/svg')) return 'other'
  if (type === 'video' || type === 'audio' || type === 'image') return type
  return media.startsWith('text/plain') ? 'page' : 'other'
}
