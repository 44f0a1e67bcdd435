import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decode, summary } from '../../src/lib/pieces.ts'

const map = (...n: number[]) => Uint8Array.from(n)

test('the map in words', () => {
  assert.equal(summary(map(), map()), 'Nothing is known of its parts yet.')
  assert.equal(summary(map(255, 255), map(1, 1)), 'Every part is here.')
  assert.equal(summary(map(255, 0), map()), '50 % is here.')
  assert.equal(summary(map(255, 0, 0, 0), map(9, 2, 1, 4)), '25 % is here. Every missing part is with at least 1 source.')
  assert.equal(summary(map(255, 0, 0, 0), map(0, 2, 0, 4)), '25 % is here. 25 % of it is with nobody who is online now.')
})

test('what is no base64 is no map', () => {
  assert.deepEqual(decode('AP8='), map(0, 255))
  assert.deepEqual(decode('***'), map())
  assert.deepEqual(decode(), map())
})
