import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apart, arc, clockwise, courseOf, fraction, inTree, knownOf, onRing, shared, summary, within } from '../../src/lib/overlay.ts'
import type { FindStep, OverlayEntry, OverlayOut } from '../../src/types.ts'

const id = (first: string) => first.padEnd(40, '0')
const entry = (first: string, part: OverlayEntry['part'], index: number, more: Partial<OverlayEntry> = {}): OverlayEntry => ({ id: id(first), peer: first, part, index, rtt_ms: -1, connected: false, ...more })
const view = (name: OverlayOut['name'], ...entries: OverlayEntry[]): OverlayOut => ({ name, mode: 'server', network: 'kith', self: { id: id('4'), peer: 'self' }, entries })

test('where identifiers are', () => {
  assert.equal(fraction(id('8')), 0.5)
  assert.equal(clockwise(id('c'), id('4')), 0.5)
  assert.deepEqual([shared(id('4'), id('5')), shared(id('4'), id('c')), shared(id('4'), id('4'))], [3, 0, 160])
  assert.deepEqual([within(id('c'), 1), within(id('5'), 3), within('f'.repeat(64), 1) < 1], [0.5, 0.5, true])
})

test('a ring is drawn clockwise from this node, a tree by bits that are the same', () => {
  const round = (p: { x: number; y: number }) => [Math.round(p.x), Math.round(p.y)]
  assert.deepEqual(round(onRing(id('4'), id('4'))), [200, 50])
  assert.deepEqual(round(onRing(id('4'), id('8'))), [350, 200])
  assert.match(arc(id('4'), id('4'), id('f'), 0), / 0 1 1 /)
  assert.match(arc(id('4'), id('4'), id('5'), 0), / 0 0 1 /)
  assert.ok(inTree(id('4'), id('c'), 4).y < inTree(id('4'), id('5'), 4).y)
  assert.ok(inTree(id('4'), id('5'), 4).y < inTree(id('4'), id('4'), 4).y)
  assert.deepEqual(apart([{ x: 0, y: 0 }, { x: 1, y: 0 }], 5, (p) => [{ x: p.x + 2, y: 0 }, { x: p.x + 9, y: 0 }]), [{ x: 0, y: 0 }, { x: 10, y: 0 }])
})

test('who is known, each once, in words', () => {
  const o = view('chord', entry('3', 'predecessor', 0), entry('5', 'successor', 1, { connected: true }), entry('6', 'successor', 2), entry('c', 'finger', 159), entry('6', 'finger', 157), entry('6', 'finger', 156, { rtt_ms: 2 }))
  assert.deepEqual(
    knownOf(o).map((k) => [k.peer, k.rank, k.at, k.rtt, k.connected]),
    [
      ['3', 'near', 'predecessor', -1, false],
      ['5', 'near', 'successor 1', -1, true],
      ['6', 'near', 'successor 2, finger 2¹⁵⁶ and 2¹⁵⁷', 2, false],
      ['c', 'far', 'finger 2¹⁵⁹', -1, false],
    ],
  )
  assert.equal(summary(o), 'This node knows 4 nodes: 1 predecessor, 2 successors and 3 fingers.')
  assert.equal(summary(view('kademlia', entry('c', 'bucket', 0), entry('5', 'bucket', 3))), 'This node knows 2 nodes: 2 contacts in 2 buckets.')
  assert.match(summary({ ...o, mode: 'client' }), /no part of chord/)
})

test('what a lookup has come to', () => {
  const p = (first: string) => ({ id: id(first), peer: first })
  const steps: FindStep[] = [
    { what: 'begins', after_ms: 0, key: id('9'), key_is: 'text', names: [p('5'), p('6')] },
    { what: 'asks', after_ms: 0, peer: p('5') },
    { what: 'asks', after_ms: 0, peer: p('6') },
    { what: 'answers', after_ms: 3, peer: p('5'), took_ms: 3, names: [p('6'), p('9')] },
    { what: 'asks', after_ms: 3, peer: p('9') },
    { what: 'silent', after_ms: 700, peer: p('6') },
    { what: 'asks', after_ms: 700, peer: p('a') },
    { what: 'answers', after_ms: 702, peer: p('9'), took_ms: 2, mine: true },
    { what: 'late', after_ms: 800, peer: p('6'), took_ms: 800 },
    { what: 'ends', after_ms: 900, names: [p('9')], asked: 4, answered: 2 },
  ]
  const course = courseOf(steps)
  assert.deepEqual(
    course.asked.map((a) => [a.n, a.peer, a.by, a.state, a.fresh, a.mine, a.late]),
    [
      [1, '5', '', 'answered', 1, false, false],
      [2, '6', '', 'silent', 0, false, true],
      [3, '9', id('5'), 'answered', 0, true, false],
      [4, 'a', '', 'left', 0, false, false],
    ],
  )
  assert.equal(course.ended?.names?.[0]?.peer, '9')
  assert.equal(courseOf(steps.slice(0, 3)).asked[1]?.state, 'waiting')
})
