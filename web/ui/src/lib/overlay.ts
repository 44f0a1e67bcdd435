// The geometry of overlays: where a node is drawn, and what a lookup has come to. Identifiers are hexadecimal, all of one length.

import type { FindStep, OverlayEntry, OverlayOut, OverlayPeer } from '../types'
import { count } from './format'

/** Where an identifier is, from 0 to 1 of all places. */
export const fraction = (id: string): number => parseInt(id.slice(0, 13), 16) / 2 ** 52

/** How far it is clockwise from one place to another, from 0 to 1. */
export const clockwise = (from: string, to: string): number => (fraction(to) - fraction(from) + 1) % 1

/** How many bits two identifiers begin with that are the same. */
export function shared(a: string, b: string): number {
  for (let i = 0; i < a.length; i++) {
    const differ = parseInt(a[i]!, 16) ^ parseInt(b[i] ?? '0', 16)
    if (differ) return 4 * i + Math.clz32(differ) - 28
  }
  return 4 * a.length
}

/** Where an identifier is, from 0 to 1, among those that begin with the same bits as it. */
export function within(id: string, bits: number): number {
  const all = BigInt(4 * id.length)
  const rest = (BigInt(`0x${id}`) << BigInt(bits)) & ((1n << all) - 1n)
  return Number(rest >> (all - 52n)) / 2 ** 52
}

export interface Point {
  x: number
  y: number
}

export const size = 400 // of a drawing, in units
const radius = 150
export const top = 40 // of a tree: the middle of its first row
const left = 98
const right = 386

/** Rings have a place for each angle; this node is at the top. Further out is for what is drawn beside the ring. */
export function onRing(self: string, id: string, further = 0): Point {
  const angle = 2 * Math.PI * clockwise(self, id)
  const r = radius + further
  return { x: size / 2 + r * Math.sin(angle), y: size / 2 - r * Math.cos(angle) }
}

/** An arc clockwise beside the ring. */
export function arc(self: string, from: string, to: string, further: number): string {
  const [a, b] = [onRing(self, from, further), onRing(self, to, further)]
  const r = radius + further
  return `M ${a.x} ${a.y} A ${r} ${r} 0 ${clockwise(from, to) > 0.5 ? 1 : 0} 1 ${b.x} ${b.y}`
}

export const mostLevels = 12 // that a tree is drawn with: the last has all that are nearer

/** How far rows are apart: a tree of few has room. */
export const rowHeight = (levels: number): number => (levels > 8 ? 32 : levels > 5 ? 38 : 46)

export const levelOf = (self: string, id: string): number => Math.min(mostLevels - 1, shared(self, id))

/** Trees have a row for each bucket: in row i is who shares the first i bits with this node. This node is below them. */
export function inTree(self: string, id: string, levels: number): Point {
  const bits = shared(self, id)
  if (bits >= 4 * self.length) return { x: 40, y: top + levels * rowHeight(levels) }
  return { x: left + (right - left) * within(id, bits + 1), y: top + levelOf(self, id) * rowHeight(levels) }
}

const ring = ['chord', 'pastry']

export const isRing = (o: OverlayOut): boolean => ring.includes(o.name)

/** What a node is to this one: next to it, a way far off, or neither. */
export type Rank = 'near' | 'far' | 'other'

const ranks: Record<OverlayEntry['part'], Rank> = {
  successor: 'near', predecessor: 'near', leaf: 'near', bucket: 'near', finger: 'far', row: 'far', neighbour: 'other', spare: 'other', gate: 'other',
}

/** A node that this one knows, with all places of the tables that it is in. */
export interface Known extends OverlayPeer {
  rank: Rank
  at: string
  rtt: number
  connected: boolean
  silent: boolean
}

const superscripts = '⁰¹²³⁴⁵⁶⁷⁸⁹'
const power = (n: number): string => `2${[...String(n)].map((d) => superscripts[Number(d)]).join('')}`

const among = (list: number[], word: (n: number) => string = String): string => (list.length > 2 ? `${word(list[0]!)} to ${word(list.at(-1)!)}` : list.map(word).join(' and '))

/** Places of one table in words. */
function placesOf(part: OverlayEntry['part'], list: number[]): string {
  switch (part) {
    case 'predecessor':
      return 'predecessor'
    case 'gate':
      return 'asked for it'
    case 'finger':
      return `finger ${among(list.sort((a, b) => a - b), power)}`
    case 'leaf':
      return list.map((n) => `leaf ${Math.abs(n)} ${n > 0 ? 'clockwise' : 'counterclockwise'}`).join(', ')
    case 'row':
      return `routing table, row ${among(list)}`
    case 'neighbour':
      return `neighbour ${among(list)}`
    case 'spare':
      return `spare for bucket ${among(list)}`
    default:
      return `${part} ${among(list)}`
  }
}

/** Who is known, each once, in the order of the tables. */
export function knownOf(o: OverlayOut): Known[] {
  const all = new Map<string, OverlayEntry[]>()
  for (const e of o.entries ?? []) all.set(e.id, [...(all.get(e.id) ?? []), e])
  return [...all.values()].map((list) => {
    const parts = [...new Set(list.map((e) => e.part))]
    const found = parts.map((p) => ranks[p])
    return {
      ...list[0]!,
      rank: found.includes('near') ? 'near' : found.includes('far') ? 'far' : 'other',
      at: parts.map((part) => placesOf(part, list.filter((e) => e.part === part).map((e) => e.index))).join(', '),
      rtt: list.reduce((rtt, e) => Math.max(rtt, e.rtt_ms), -1),
      connected: list.some((e) => e.connected),
      silent: list.some((e) => e.silent),
    }
  })
}

const tables: [OverlayEntry['part'], string, string?][] = [
  ['predecessor', 'predecessor'], ['successor', 'successor'], ['finger', 'finger'], ['leaf', 'leaf'], ['row', 'place of the routing table', 'places of the routing table'],
  ['neighbour', 'neighbour'], ['bucket', 'contact'], ['spare', 'spare'],
]

/** What the tables have, in one sentence. */
export function summary(o: OverlayOut): string {
  const nodes = new Set(o.entries?.map((e) => e.id)).size
  const parts = tables.flatMap(([part, one, many]) => {
    const n = o.entries?.filter((e) => e.part === part).length ?? 0
    return n > 0 ? [count(n, one, many)] : []
  })
  if (o.mode === 'client') return `This node cannot be reached from outside, so it is no part of ${o.name}: it asks, and answers nobody. It searches through ${count(nodes, 'connected node')}.`
  const buckets = new Set(o.entries?.filter((e) => e.part === 'bucket').map((e) => e.index)).size
  return `This node knows ${count(nodes, 'node')}: ${parts.length > 1 ? `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}` : parts.join('')}${buckets > 0 ? ` in ${count(buckets, 'bucket')}` : ''}.`
}

/** One node that a lookup has asked. */
export interface Asked extends OverlayPeer {
  n: number // it was the n-th, from 1 on
  by: string // identifier of who named it first; '' is this node
  state: 'waiting' | 'answered' | 'silent' | 'left' // left: the lookup ended before it answered
  after: number // milliseconds, when it was asked first
  took: number
  names: number
  fresh: number // of these, nobody named before
  mine: boolean
  late: boolean
}

/** What a lookup has come to. */
export interface Course {
  begun?: FindStep
  asked: Asked[]
  ended?: FindStep
}

export function courseOf(steps: FindStep[]): Course {
  const course: Course = { asked: [] }
  const by = new Map<string, string>()
  const all = new Map<string, Asked>()
  const named = (list: OverlayPeer[] | null | undefined, who: string) =>
    (list ?? []).filter((p) => {
      if (by.has(p.id)) return false
      by.set(p.id, who)
      return true
    }).length
  for (const s of steps) {
    if (s.what === 'begins') {
      course.begun ??= s
      named(s.names, '')
      continue
    }
    if (s.what === 'ends') {
      course.ended = s
      for (const a of course.asked) if (a.state === 'waiting') a.state = 'left'
      continue
    }
    if (!s.peer) continue
    let a = all.get(s.peer.id)
    if (!a) {
      a = { ...s.peer, n: all.size + 1, by: by.get(s.peer.id) ?? '', state: 'waiting', after: s.after_ms, took: 0, names: 0, fresh: 0, mine: false, late: false }
      all.set(a.id, a)
      course.asked.push(a)
    }
    if (s.what === 'asks') a.state = 'waiting'
    if (s.what === 'silent') a.state = 'silent'
    if (s.what === 'late') a.late = true
    if (s.what === 'answers') Object.assign(a, { state: 'answered', took: s.took_ms ?? 0, names: s.names?.length ?? 0, fresh: named(s.names, a.id), mine: !!s.mine })
  }
  return course
}

/** Moves points apart that would lie on each other: each is tried in the given directions until it is free. */
export function apart(points: Point[], least: number, tries: (p: Point) => Point[]): Point[] {
  const out: Point[] = []
  for (const p of points) {
    const free = (q: Point) => out.every((o) => Math.hypot(o.x - q.x, o.y - q.y) >= least)
    out.push([p, ...tries(p)].find(free) ?? p)
  }
  return out
}
