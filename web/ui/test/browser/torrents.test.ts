// A tracker, watched folders and feeds, from the page.

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { cleanUp, complaints, enter, eventually, freePort, launch, look, Node, scratch, visitor } from './kit.ts'

const magnet = (n: number, name: string) => `magnet:?xt=urn:btih:${String(n).padStart(40, '0')}&amp;dn=${name}`

describe('torrents', { concurrency: 1 }, () => {
  let browser: Browser
  let node: Node
  let page: Page
  let site: Server
  const folder = join(scratch, 'drop')
  const names = async () => (await node.json<{ items: { name: string }[] | null }>('ls')).items?.map((i) => i.name) ?? []

  before(async () => {
    mkdirSync(folder)
    site = createServer((_, res) =>
      res.end(`<rss version="2.0"><channel><title>New images</title>
        <item><guid>1</guid><title>Debian 13 netinst</title><link>${magnet(1, 'debian')}</link></item><item><guid>2</guid><title>Other</title><link>${magnet(2, 'other')}</link></item></channel></rss>`),
    )
    await new Promise<void>((done) => site.listen(0, '127.0.0.1', done))
    browser = await launch()
    node = new Node('torrents')
    await node.start()
    page = await enter(await visitor(browser), node)
    await page.getByRole('link', { name: 'Network' }).click()
    await page.getByRole('heading', { name: 'Torrents' }).waitFor()
  })

  after(async () => {
    await browser?.close()
    await node?.stop()
    site?.close()
    cleanUp()
  })

  test('a folder is watched', async () => {
    await page.getByLabel('Folder to watch').fill(folder)
    await page.getByRole('button', { name: 'Watch', exact: true }).click()
    await page.getByRole('button', { name: `Remove ${folder}` }).waitFor()
    writeFileSync(join(folder, 'x.magnet'), magnet(3, 'dropped').replace('&amp;', '&'))
    await eventually('what was dropped is on the list', async () => (await names()).includes('dropped'))
    assert.ok(existsSync(join(folder, 'added/x.magnet')))
  })

  test('a folder that is not there is said to be so', async () => {
    await page.getByLabel('Folder to watch').fill('/nowhere/at/all')
    await page.getByRole('button', { name: 'Watch', exact: true }).click()
    await page.getByText('there is no folder /nowhere/at/all').waitFor()
    await page.getByLabel('Folder to watch').fill('')
  })

  test('a feed, and a rule that is tried first', async () => {
    await page.getByLabel('Address of a feed').fill(`http://127.0.0.1:${(site.address() as AddressInfo).port}/feed`)
    await page.getByRole('button', { name: 'Follow', exact: true }).click()
    await page.getByText('New images').waitFor()
    await page.getByLabel('Name', { exact: true }).fill('debian')
    await page.getByLabel('Title must contain').fill('debian netinst')
    await page.getByRole('button', { name: 'Try' }).click()
    await page.getByText('It would take 1 item').waitFor()
    await page.getByRole('listitem').filter({ hasText: 'Debian 13 netinst' }).waitFor()
    assert.ok(!(await names()).includes('debian'))
    await page.getByLabel('Title must contain').scrollIntoViewIfNeeded()
    assert.deepEqual(await look(page, 'torrents-rule'), [])
    await page.getByRole('button', { name: 'Add rule' }).click()
    await eventually('what the rule takes is on the list', async () => (await names()).includes('debian'))
    assert.ok(!(await names()).includes('other'))
    await page.getByText('2 items, 1 fetched').waitFor()
  })

  test('a tracker, over a restart', async () => {
    await node.text('tracker', 'on', '--port', String(await freePort())) // the page keeps the port
    await node.text('tracker', 'off')
    await page.reload()
    await page.getByLabel('Be a tracker').selectOption('local any')
    await page.getByText(/^udp:\/\//).first().waitFor()
    await page.getByLabel('Be a tracker').scrollIntoViewIfNeeded()
    assert.deepEqual(await look(page, 'torrents'), [])
    await node.stop()
    await node.start()
    const now = await node.json<{ on: boolean; torrents: string }>('tracker', 'status')
    assert.deepEqual([now.on, now.torrents], [true, 'any'])
  })

  test('the doctor knows of the tracker', async () => {
    await page.goto(await node.openURL())
    await page.getByRole('link', { name: 'Network' }).click()
    const doctor = page.getByRole('region', { name: 'How it is reached' })
    await doctor.getByRole('listitem').filter({ hasText: 'Tracker' }).getByText(/^reached in this computer's local networks, at udp:/).waitFor()
  })

  test('what Transmission has is looked at, and taken over', async () => {
    const state = await transmission('Boats.bin')
    await page.setViewportSize({ width: 360, height: 740 })
    await page.getByLabel('Program to move in from').selectOption('Transmission')
    await page.getByLabel('Folder of its state').fill(state)
    await page.getByRole('button', { name: 'Look', exact: true }).click()
    await page.getByText('1 torrent found, of which 1 would be taken over.').waitFor()
    await page.getByText('All of it is there: served where it lies').waitFor()
    assert.ok(!(await names()).includes('Boats.bin'))
    await page.getByRole('button', { name: 'Take it over' }).scrollIntoViewIfNeeded()
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'it is too wide for a phone')
    assert.deepEqual(await look(page, 'phone-torrents-import'), [])
    await page.getByRole('button', { name: 'Take it over' }).click()
    await page.getByText('1 torrent taken over.').waitFor()
    assert.ok((await names()).includes('Boats.bin'))
    await page.setViewportSize({ width: 1280, height: 900 })
    await page.getByLabel('Program to move in from').scrollIntoViewIfNeeded()
    assert.deepEqual(await look(page, 'torrents-import'), [])
    await page.getByLabel('Folder of its state').fill(join(scratch, 'nothing'))
    await page.getByRole('button', { name: 'Look', exact: true }).click()
    await page.getByRole('alert').getByText(/nothing/).waitFor()
  })

  test('without a complaint of the browser', () => assert.deepEqual(complaints.filter((c) => !c.includes('404')), []))
})

/** The state of a Transmission that has a file, and has ended. */
async function transmission(name: string): Promise<string> {
  const [state, data, watched] = ['transmission', 'transmission-data', 'transmission-watched'].map((dir) => join(scratch, dir)) as [string, string, string]
  for (const dir of [state, data, watched]) mkdirSync(dir)
  writeFileSync(join(data, name), randomBytes(1_000_000))
  execFileSync('transmission-create', ['-o', join(watched, 'it.torrent'), join(data, name)], { stdio: 'ignore' })
  const rpc = await freePort()
  const flags = ['-f', '-g', state, '-w', data, '-c', watched, '-i', '127.0.0.1', '-p', String(rpc), '-P', String(await freePort()), '--no-dht', '--no-lpd', '--no-portmap', '--no-utp']
  const daemon = spawn('transmission-daemon', flags, { stdio: 'ignore' })
  try {
    await eventually('Transmission has it', async () => {
      const ask = (id: string) => fetch(`http://127.0.0.1:${rpc}/transmission/rpc`, { method: 'POST', headers: { 'X-Transmission-Session-Id': id }, body: '{"method":"torrent-get","arguments":{"fields":["percentDone"]}}' })
      const id = await ask('').then((r) => r.headers.get('X-Transmission-Session-Id'), () => null) // a 409 that tells it
      return id !== null && /"percentDone":1\b/.test(await (await ask(id)).text())
    })
  } finally {
    const ended = once(daemon, 'exit')
    daemon.kill('SIGTERM')
    await ended // when it has written down how it stands
  }
  assert.equal(readdirSync(join(state, 'resume')).length, 1)
  return state
}
