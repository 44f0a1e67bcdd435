// Somebody who knows nobody joins the public network: a real node, a real browser, and no DHT that would answer.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { cleanUp, complaints, enter, launch, look, Node, visitor } from './kit.ts'

describe('the public network', { concurrency: 1 }, () => {
  let browser: Browser
  let node: Node
  let page: Page

  before(async () => {
    browser = await launch()
    node = new Node('public')
    writeFileSync(join(node.dir, 'config.toml'), 'mainline_hosts = []\n')
    await node.start('127.0.0.1:0', '--no-mainline=false')
    page = await enter(await visitor(browser), node)
  })

  after(async () => {
    await browser?.close()
    await node?.stop()
    cleanUp()
  })

  test('says whom it would ask before it does, joins, and says how it went', async () => {
    await page.getByRole('link', { name: 'Network' }).click()
    await page.getByText('Nodes of that DHT learn your internet address').waitFor()
    assert.equal((await node.json<{ joined: boolean }>('network')).joined, false)
    assert.deepEqual(await look(page, 'public-before'), [])
    await page.getByRole('button', { name: 'Join the public network' }).click()
    await page.getByText('No node of the BitTorrent DHT answered').first().waitFor()
    assert.deepEqual(await look(page, 'public-nobody'), [])
    assert.equal((await node.json<{ joined: boolean }>('network')).joined, true)
  })

  test('leaves again', async () => {
    await page.getByRole('button', { name: 'Leave the public network' }).click()
    await page.getByRole('button', { name: 'Join the public network' }).waitFor()
    assert.equal((await node.json<{ joined: boolean }>('network')).joined, false)
  })

  test('without a complaint of the browser', () => assert.deepEqual(complaints, []))
})
