import assert from 'node:assert/strict'
import { test } from 'node:test'
import { plays, tagsOf, told } from '../../src/lib/facts.ts'

test('how long something plays', () => {
  const cases: [number, string][] = [[5, '0:05'], [273, '4:33'], [3599, '59:59'], [3600, '1 h 0 min'], [6720, '1 h 52 min'], [7199, '2 h 0 min']]
  for (const [n, want] of cases) assert.equal(plays(n), want)
})

test('facts stand on one line, and what is not known is left out', () => {
  assert.equal(told(undefined), '')
  assert.equal(told({}), '')
  assert.equal(told({ length: 273, format: 'FLAC', year: 1959 }), '4:33 · FLAC · 1959')
  assert.equal(told({ width: 1920, height: 1080, length: 6720 }), '1920×1080 · 1 h 52 min')
  assert.equal(told({ pages: 12, artist: 'Anna', title: 'A Book', album: 'A Book' }), 'Anna – A Book · 12 pages')
  assert.equal(told({ taken: '2023-07-14', year: 2023, camera: 'X-T5' }), '2023-07-14 · X-T5')
})

test('tags are what stands between commas', () => {
  assert.deepEqual(tagsOf(' vinyl, hard bop,,'), ['vinyl', 'hard bop'])
  assert.deepEqual(tagsOf(''), [])
})
