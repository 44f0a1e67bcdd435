import assert from 'node:assert/strict'
import { test } from 'node:test'
import { foreignMagnet, invitation, recognise } from '../../src/lib/paste.ts'

const hex = '0123456789abcdef'.repeat(4)
const cid = `bafkr4i${'a2345bcdefghijklmnopqrstuvwxyz'.repeat(2).slice(0, 52)}`
const key = 'k'.repeat(43)
const magnet = `magnet:?xt=urn:blake3:${hex}&x.cid=${cid}&dn=Festival%20of%20boats.mkv&xl=1420000000&x.kith=/ip4/192.0.2.1/tcp/1/p2p/12D3`

test('a magnet link, alone or in what surrounds it', () => {
  const want = { link: magnet, name: 'Festival of boats.mkv', size: 1_420_000_000, sealed: false }
  assert.deepEqual(recognise(magnet), want)
  assert.deepEqual(recognise(`  ${magnet}\n`), want)
  assert.deepEqual(recognise(`kith get '${magnet}'`), want)
  assert.deepEqual(recognise(`Look at this: ${magnet} !`), want)
  assert.deepEqual(recognise(`<a href="${magnet}">`), want)
})

test('a key behind the # goes with it', () => {
  assert.deepEqual(recognise(`'${magnet}#${key}'`), { link: `${magnet}#${key}`, name: 'Festival of boats.mkv', size: 1_420_000_000, sealed: true })
  assert.equal(recognise(`${cid}#${key}`)?.link, `${cid}#${key}`)
})

test('short links and CIDs', () => {
  const short = `kith:${'AQAx9Kd_-'.repeat(8)}`
  assert.deepEqual(recognise(`see ${short}.`), { link: short, name: '', size: -1, sealed: false })
  assert.deepEqual(recognise(cid), { link: cid, name: '', size: -1, sealed: false })
})

test('what is no link of ours', () => {
  const bittorrent = `magnet:?xt=urn:btih:${'a'.repeat(40)}&dn=x`
  for (const text of ['', 'hello', 'https://example.org/', 'kith:short', 'kith get', bittorrent, 'x'.repeat(70_000) + magnet]) assert.equal(recognise(text), null, text.slice(0, 40))
  assert.equal(foreignMagnet(bittorrent), true)
  assert.equal(foreignMagnet(magnet), false)
  assert.equal(foreignMagnet('hello'), false)
})

test('an invite is no link to content, and the other way round', () => {
  const invite = `kith:invite:${'Ab_-'.repeat(50)}`
  assert.equal(invitation(`Join me: kith join '${invite}' please`), invite)
  assert.equal(recognise(invite), null)
  assert.equal(invitation(magnet), '')
  assert.equal(invitation('kith:invite:short'), '')
})
