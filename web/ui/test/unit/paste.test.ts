import assert from 'node:assert/strict'
import { test } from 'node:test'
import { foreignMagnet, invitation, recognise } from '../../src/lib/paste.ts'

const hex = '0123456789abcdef'.repeat(4)
const cid = `bafkr4i${'a2345bcdefghijklmnopqrstuvwxyz'.repeat(2).slice(0, 52)}`
const key = 'k'.repeat(43)
const magnet = `magnet:?xt=urn:blake3:${hex}&x.cid=${cid}&dn=Festival%20of%20boats.mkv&xl=1420000000&x.kith=/ip4/192.0.2.1/tcp/1/p2p/12D3`

test('a magnet link, alone or in what surrounds it', () => {
  const want = { link: magnet, name: 'Festival of boats.mkv', size: 1_420_000_000, sealed: false, from: '' }
  assert.deepEqual(recognise(magnet), want)
  assert.deepEqual(recognise(`  ${magnet}\n`), want)
  assert.deepEqual(recognise(`kith get '${magnet}'`), want)
  assert.deepEqual(recognise(`Look at this: ${magnet} !`), want)
  assert.deepEqual(recognise(`<a href="${magnet}">`), want)
})

test('a key behind the # goes with it', () => {
  assert.deepEqual(recognise(`'${magnet}#${key}'`), { link: `${magnet}#${key}`, name: 'Festival of boats.mkv', size: 1_420_000_000, sealed: true, from: '' })
  assert.equal(recognise(`${cid}#${key}`)?.link, `${cid}#${key}`)
})

test('short links and CIDs', () => {
  const short = `kith:${'AQAx9Kd_-'.repeat(8)}`
  assert.deepEqual(recognise(`see ${short}.`), { link: short, name: '', size: -1, sealed: false, from: '' })
  assert.deepEqual(recognise(cid), { link: cid, name: '', size: -1, sealed: false, from: '' })
})

test('links of other networks', () => {
  const v0 = 'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG'
  const hash = 'cd85d1f3ee2bbc2dd0a1ab2dee6ec2dd6dc0b86c'
  const all: Record<string, string> = {
    [`magnet:?xt=urn:btih:${hash}&dn=x`]: 'BitTorrent',
    [`magnet:?xt.1=urn:btih:${hash}&xt.2=urn:btmh:1220${hex}`]: 'BitTorrent',
    [`magnet:?xt=urn:btih:${hash}&xt=urn:blake3:${hex}&x.cid=${v0}&x.cid=${cid}`]: 'BitTorrent and IPFS',
    [`magnet:?xs=ipfs://${v0}/a`]: 'IPFS',
    [`magnet:?xs=https://example.org/a`]: 'the web',
    [hash]: 'BitTorrent',
    [hash.toUpperCase()]: 'BitTorrent',
    [hex]: 'BitTorrent',
    [v0]: 'IPFS',
    [`ipfs://${v0}/a%20b`]: 'IPFS',
    'ipns://docs.ipfs.tech/': 'IPFS',
    [`/ipfs/${v0}`]: 'IPFS',
    [`https://ipfs.io/ipfs/${v0}/x`]: 'IPFS',
    [`https://bafybeie5nqv6kd3qnfjupgvz34woh3oksc3iau6abmyajn7qvtf6d2ho34.ipfs.dweb.link/`]: 'IPFS',
    'https://example.org/debian.iso.torrent?x=1': 'BitTorrent',
    'https://example.org/film.mkv': 'the web',
  }
  for (const [link, from] of Object.entries(all)) assert.deepEqual([recognise(` ${link}\n`)?.link, recognise(link)?.from], [link, from])
})

test('what is no link of ours', () => {
  const ed2k = `magnet:?xt=urn:ed2k:${'a'.repeat(32)}&dn=x`
  for (const text of ['', 'hello', 'see https://example.org/ for more', 'kith:short', 'kith get', ed2k, 'x'.repeat(70_000) + magnet]) assert.equal(recognise(text), null, text.slice(0, 40))
  assert.equal(foreignMagnet(ed2k), true)
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
