import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Item, State } from '../../src/types.ts'
import { activity, badge, complete, heard, incoming, listening, look, troubled } from '../../src/lib/words.ts'

const item = (more: Partial<Item>): Item => ({
  ref: 'bafk', name: 'x', size: 1000, files: 1, folder: false, kind: 'download', state: 'fetching', for: 'link', link: '', short: '', done: 0, rate: 0,
  up_rate: 0, up: 0, eta: -1, sources: 0, added: '', ...more,
})

test('a download says how far, how fast, how long and from how many', () => {
  assert.equal(activity(item({ done: 500, rate: 250, eta: 2, sources: 2 })), '50 % · 250 B/s · 2 s left · 2 sources')
  assert.equal(activity(item({ done: 500, rate: 250, eta: 2, sources: 2 }), false), '250 B/s · 2 s left · 2 sources')
})

test('what waits says why', () => {
  assert.equal(activity(item({ state: 'waiting', reason: 'nobody is online' })), '0 % · nobody is online')
  assert.equal(activity(item({ state: 'failed', reason: 'the disk is full' })), 'The disk is full')
  assert.equal(activity(item({ state: 'finding', size: -1 })), 'Looking for somebody who has it')
  assert.equal(activity(item({ state: 'finding', size: -1, reason: 'no source found in 3 s' })), 'Looking · no source found in 3 s')
})

test('every state is in exactly one class, and has a badge', () => {
  const states: State[] = ['ready', 'gone', 'finding', 'fetching', 'waiting', 'paused', 'checking', 'done', 'failed']
  for (const state of states) {
    const i = item({ state })
    assert.equal([incoming(i), complete(i), troubled(i)].filter(Boolean).length, 1, state)
    assert.ok(badge(i).text, state)
    assert.ok(activity(i), state)
  }
})

test('what a browser can show', () => {
  assert.equal(look('video/webm'), 'video')
  assert.equal(look('text/plain; charset=utf-8'), 'page')
  for (const media of ['application/pdf', 'text/html', 'image/svg+xml']) assert.equal(look(media), 'other', media)
  assert.equal(look(undefined), 'other')
})

test('what listens is shown without its certificates', () => {
  assert.equal(listening('/ip4/0.0.0.0/udp/1/webrtc-direct/certhash/uEi'), '/ip4/0.0.0.0/udp/1/webrtc-direct')
})

test('a tracker says what it said last, and when it is asked again', () => {
  const now = Date.parse('2026-01-01T00:01:00Z')
  const asked = { url: 'udp://tracker.example:80', peers: 1, asked: '2026-01-01T00:00:30Z', next: '2026-01-01T00:03:00Z' }
  assert.equal(heard(asked, now), 'Named 1 peer 30 s ago · asked again in 2 min')
  assert.equal(heard({ ...asked, why: 'timed out', next: '2026-01-01T00:00:40Z' }, now), 'Failed 30 s ago: timed out')
  assert.equal(heard({ url: 'http://tracker.example/announce', peers: 0 }, now), 'Not asked yet')
  assert.equal(heard({ url: 'wss://tracker.example', peers: 0 }, now), 'Asked over a WebSocket')
})
