import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ago, bytes, count, duration, fraction, milliseconds, percent, plainly, rate, sentence, shortID } from '../../src/lib/format.ts'

test('sizes have three digits that count, and change unit before they have four', () => {
  const cases: [number, string][] = [
    [-1, ''], [0, '0 B'], [999, '999 B'], [1000, '1.00 kB'], [9994, '9.99 kB'], [9996, '10.0 kB'], [99_949, '99.9 kB'],
    [99_960, '100 kB'], [999_499, '999 kB'], [999_600, '1.00 MB'], [1.42e9, '1.42 GB'], [2 ** 63, '9.22 EB'], [NaN, ''],
  ]
  for (const [n, want] of cases) assert.equal(bytes(n), want, String(n))
})

test('a rate of nothing is no text', () => {
  assert.equal(rate(0), '')
  assert.equal(rate(1500), '1.50 kB/s')
})

test('times to come', () => {
  const cases: [number, string][] = [
    [-1, ''], [0, 'a moment'], [1, '1 s'], [59.4, '59 s'], [59.6, '1 min'], [90, '2 min'], [3600, '1 h'], [5400, '1 h 30 min'],
    [86_400, '1 day'], [3 * 86_400, '3 days'], [1e9, 'more than 99 days'], [Infinity, ''],
  ]
  for (const [s, want] of cases) assert.equal(duration(s), want, String(s))
})

test('100 % only when it is all', () => {
  assert.equal(percent(0.9999), '99 %')
  assert.equal(percent(1), '100 %')
  assert.equal(fraction(5, -1), 0)
  assert.equal(fraction(0, 0), 1)
  assert.equal(fraction(12, 10), 1)
})

test('counts, ids, round trips, sentences', () => {
  assert.equal(count(1, 'file'), '1 file')
  assert.equal(count(20_000, 'file'), '20,000 files')
  assert.equal(shortID('12D3KooWabcdefghijklmnop'), '…ijklmnop')
  assert.equal(milliseconds(-1), '')
  assert.equal(milliseconds(2.13), '2.1 ms')
  assert.equal(milliseconds(48.7), '49 ms')
  assert.equal(sentence('nobody is online'), 'Nobody is online')
})

test('ago', () => {
  const now = Date.parse('2026-11-22T12:00:00Z')
  assert.equal(ago('2026-11-22T11:59:50Z', now), 'just now')
  assert.equal(ago('2026-11-22T11:30:00Z', now), '30 min ago')
  assert.equal(ago('2026-11-22T09:00:00Z', now), '3 h ago')
  assert.equal(ago('2026-11-20T12:00:00Z', now), '2 days ago')
  assert.equal(ago('0001-01-01T00:00:00Z', now), '')
  assert.equal(ago('rubbish', now), '')
})

test('errors without what is for programmers', () => {
  assert.equal(plainly('node: connect "x": not an address: invalid', 'invalid'), 'connect "x": not an address')
  assert.equal(plainly('the disk is full', 'unavailable'), 'the disk is full')
  assert.equal(plainly('invalid', 'invalid'), 'invalid')
})
