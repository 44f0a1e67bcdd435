// What comes from BitTorrent and IPFS at once, and is served there, on the smallest phone and on a large screen: which files are wanted, what each network brings, and
// to whom a file is served. Kith's node at one end, Kubo beside it, and one that fetches.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Browser, Locator, Page } from 'playwright-core'
import type { Item, ShowOut } from '../../src/types.ts'
import { cleanUp, complaints, enter, eventually, freePort, Kubo, launch, look, Node, scratch, visitor } from './kit.ts'

const small = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true }
const large = { width: 1280, height: 900 }
const quiet = 'ipfs_hosts = []\n[bittorrent]\nlisten = "127.0.0.1"\ndht = false\nlpd = false\n'

describe('what is in other networks too', { concurrency: 1 }, () => {
  let browser: Browser
  let anna: Node, ben: Node
  let kubo: Kubo | undefined
  let a: Page, b: Page // both on a phone
  let magnet = ''
  const album = join(scratch, 'Evening by the lake')
  const songs = ['Disc 1/01 The boats come home, all of them, before the rain.flac', 'Disc 1/02 Short.flac', 'Disc 2/01 A bird that nobody had seen there before.flac']
  const same = (dir: string, song: string) => existsSync(join(dir, song)) && readFileSync(join(dir, song)).equals(readFileSync(join(album, song)))
  const narrow = async (page: Page, what: string) => assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${what} is wider than the screen`)
  const item = async (node: Node) => (await node.json<{ items: Item[] | null }>('ls')).items?.find((i) => i.name === 'Evening by the lake')
  const network = async (node: Node, name: string) => (await item(node))?.networks?.find((n) => n.network === name)

  /** Looks at part of the page on the phone, and on a large screen. */
  async function lookAt(part: Locator, name: string) {
    for (const size of [small.viewport, large]) {
      await part.page().setViewportSize(size)
      await part.evaluate((e) => e.scrollIntoView({ block: 'center' }))
      await narrow(part.page(), name)
      assert.deepEqual(await look(part.page(), size === large ? name : `phone-${name}`), [])
      const out = await part.evaluate((e) => [...e.querySelectorAll('*')].filter((c) => c.getClientRects().length > 0 && c.getBoundingClientRect().right > innerWidth).map((c) => c.outerHTML.slice(0, 80)))
      assert.deepEqual(out, [], `${name}: cut off at ${size.width} pixels`)
    }
    await part.page().setViewportSize(small.viewport)
  }

  before(async () => {
    for (const disc of ['Disc 1', 'Disc 2']) mkdirSync(join(album, disc), { recursive: true })
    for (const song of songs) writeFileSync(join(album, song), randomBytes(3_000_000))
    writeFileSync(join(album, 'notes.txt'), 'recorded in June')
    browser = await launch()
    anna = new Node('anna')
    ben = new Node('ben')
    const port = await freePort()
    writeFileSync(join(anna.dir, 'config.toml'), `${quiet}port = ${port}\n[ipfs]\nlisten = ["/ip4/127.0.0.1/tcp/0"]\n`)
    if (existsSync(Kubo.program)) await (kubo = new Kubo()).start()
    else console.log('not tested against Kubo: .ci/install builds it')
    writeFileSync(join(ben.dir, 'config.toml'), `${quiet}[ipfs]\nlisten = ["/ip4/127.0.0.1/tcp/0"]\npeers = [${kubo ? `"${kubo.addr}"` : ''}]\n`)
    await Promise.all([anna.start(), ben.start()])
    await anna.text('share', album, '--for', 'public', '--networks', 'bittorrent,ipfs')
    const names = (name: string) => network(anna, name).then((n) => n?.names?.[0] ?? '')
    const cid = (await names('ipfs')).replace('ipfs://', '')
    magnet = `magnet:?xt=urn:btih:${await names('bittorrent')}&x.cid=${cid}&dn=Evening+by+the+lake&x.pe=127.0.0.1:${port}`
    if (kubo) assert.equal((await kubo.text('add', '-r', '-Q', '--cid-version=1', '--raw-leaves', '--chunker=size-1048576', album)), cid)
    a = await enter(await visitor(browser, small), anna)
    b = await enter(await visitor(browser, small), ben)
  })

  after(async () => {
    await browser?.close()
    await Promise.all([anna?.stop(), ben?.stop(), kubo?.stop()])
    cleanUp()
  })

  test('of a torrent, the files that are wanted are chosen while it comes', async () => {
    await ben.text('limit', '--down', '40K')
    await b.getByLabel('Paste a link').fill(magnet)
    await b.getByText(/asked|sees your address/).waitFor()
    await narrow(b, 'the box')
    await b.getByRole('button', { name: 'Open', exact: true }).click()
    await b.getByRole('heading', { name: 'Evening by the lake' }).waitFor()
    const wanted = async () => (await ben.json<ShowOut>('show', 'Evening by the lake')).tree?.filter((e) => e.wanted).map((e) => e.path)
    const box = (name: string) => b.getByRole('checkbox', { name: `Fetch ${name}` })
    await box(songs[2]!).waitFor()
    assert.equal(await b.getByRole('checkbox', { name: 'All of them', exact: true }).isChecked(), true)
    await box(songs[0]!).uncheck()
    await box(songs[2]!).uncheck()
    await b.getByText('3.00 MB', { exact: true }).waitFor()
    await lookAt(b.getByRole('region', { name: 'Files' }), 'files-chosen')
    await b.getByRole('button', { name: 'Fetch these' }).click()
    await b.getByRole('button', { name: 'Fetch these' }).waitFor({ state: 'detached' })
    assert.deepEqual(await wanted(), [songs[1], 'notes.txt'])
  })

  test('what each network brings is said while it comes', async () => {
    const networks = b.getByRole('region', { name: 'Other networks' })
    const row = (name: string) => networks.getByRole('listitem').filter({ hasText: name })
    await row('BitTorrent').getByText(/^Fetching · 1 peer · [\d.]+ [kM]?B came/).waitFor()
    if (kubo) await row('IPFS').getByText(/^Fetching · 1 peer · [\d.]+ [kM]?B came/).waitFor()
    await lookAt(networks, 'networks-coming')
    const sources = b.getByRole('region', { name: 'Sources' })
    await sources.getByText(/^BitTorrent · (tcp|utp)$/).waitFor()
    await lookAt(sources, 'networks-sources')
    assert.equal((await item(ben))?.state, 'fetching')
  })

  test('what was left out comes when it is wanted after all', async () => {
    await ben.text('limit', '--down', '0')
    await b.locator('.tag', { hasText: 'Part of it' }).waitFor()
    const path = (await item(ben))?.path ?? ''
    assert.ok(same(path, songs[1]!))
    assert.ok(!songs.every((song) => same(path, song)), 'what is not wanted has not come')
    await lookAt(b.locator('main'), 'files-part')
    await b.getByRole('checkbox', { name: 'All of them', exact: true }).check()
    await b.getByRole('button', { name: 'Fetch these' }).click()
    await eventually('all is here', async () => songs.every((song) => same(path, song)))
    await b.locator('.tag', { hasText: 'Complete' }).waitFor()
    await b.getByText('4 files · 9.00 MB').waitFor()
  })

  test('what came from a network can be served to another, and no more', async () => {
    const networks = b.getByRole('region', { name: 'Other networks' })
    await b.getByRole('button', { name: 'Serve to IPFS' }).click()
    await b.getByRole('dialog').getByText('Any program of IPFS can fetch it from this computer then.').waitFor()
    await lookAt(b.getByRole('dialog'), 'networks-serve')
    await b.getByRole('dialog').getByRole('button', { name: /^(Serve it|Make it public)$/ }).click()
    await b.getByRole('button', { name: 'Stop serving to IPFS' }).waitFor()
    assert.equal((await network(ben, 'ipfs'))?.served, true)
    await lookAt(networks, 'networks-served')
    await b.getByRole('button', { name: 'Stop serving to IPFS' }).click()
    await b.getByRole('button', { name: 'Serve to IPFS' }).waitFor()
    assert.equal((await network(ben, 'ipfs'))?.served ?? false, false)
  })

  test('who shared it sees what each network has taken', async () => {
    await a.getByRole('link', { name: 'Evening by the lake' }).click()
    const networks = a.getByRole('region', { name: 'Other networks' })
    await networks.getByText(/[\d.]+ [kM]?B sent/).waitFor()
    await lookAt(networks, 'networks-sent')
    await a.getByRole('button', { name: 'Stop serving to BitTorrent' }).click()
    await a.getByRole('button', { name: 'Serve to BitTorrent' }).waitFor()
    assert.equal((await network(anna, 'bittorrent'))?.served ?? false, false)
  })

  test('without a complaint of the browser', () => assert.deepEqual(complaints, []))
})
