// A tracker, watched folders and feeds, from the page.

import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
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

  test('without a complaint of the browser', () => assert.deepEqual(complaints.filter((c) => !c.includes('404')), []))
})
