import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Parser } from '../../src/lib/sse.ts'

const stream = ': a comment\ndata: {"a":1}\n\nevent: error\r\ndata: {"detail":"x"}\r\n\r\ndata: two\ndata: lines\n\nevent: end\n\n'
const want = [
  { name: 'message', data: '{"a":1}' },
  { name: 'error', data: '{"detail":"x"}' },
  { name: 'message', data: 'two\nlines' },
  { name: 'end', data: '' },
]

test('events come out whole, wherever the stream is cut', () => {
  for (let size = 1; size <= stream.length; size++) {
    const parser = new Parser()
    const got = []
    for (let at = 0; at < stream.length; at += size) got.push(...parser.feed(stream.slice(at, at + size)))
    assert.deepEqual(got, want, `in chunks of ${size}`)
  }
})

test('an event that is not ended is not given', () => {
  assert.deepEqual(new Parser().feed('data: {"a":1}\n'), [])
})

test('only the first blank behind the colon goes', () => {
  assert.deepEqual(new Parser().feed('data:  x\ndata\n\n'), [{ name: 'message', data: ' x\n' }])
})
