// Whom the node relays for, and whether it indexes for others, chosen on the page and kept over a restart.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { cleanUp, complaints, enter, eventually, launch, look, Node, visitor } from './kit.ts'

describe('helping others connect', { concurrency: 1 }, () => {
  let browser: Browser
  let node: Node
  let page: Page
  const now = () => node.json<{ for: string; metered: boolean }>('relay')

  before(async () => {
    browser = await launch()
    node = new Node('helper')
    await node.start()
    page = await enter(await visitor(browser), node)
  })

  after(async () => {
    await browser?.close()
    await node?.stop()
    cleanUp()
  })

  test('says for whom, and takes another choice', async () => {
    await page.getByRole('link', { name: 'Network' }).click()
    await page.getByText('It would relay for contacts: 64 MiB an hour').waitFor()
    await page.getByLabel('Relay for').selectOption('strangers')
    await eventually('strangers', async () => (await now()).for === 'strangers')
    await page.getByLabel('This connection is paid for by the byte').check()
    await eventually('metered', async () => (await now()).metered)
    await page.getByLabel('Relay for').scrollIntoViewIfNeeded()
    assert.deepEqual(await look(page, 'relay'), [])
  })

  test('indexes for others while it is to', async () => {
    const on = async () => (await node.json<{ on: boolean }>('search', 'volunteer')).on
    const box = page.getByLabel('Index all that is published')
    await box.check()
    await page.getByText('Kept for others: 0 publications of 1,000,000 at most.').waitFor()
    assert.equal(await on(), true)
    await box.scrollIntoViewIfNeeded()
    assert.deepEqual(await look(page, 'volunteer'), [])
    await box.uncheck()
    await eventually('none of it any more', async () => !(await on()))
    await page.getByText('Kept for others').waitFor({ state: 'detached' })
  })

  test('keeps it over a restart', async () => {
    await node.stop()
    await node.start()
    assert.deepEqual(await now().then((n) => [n.for, n.metered]), ['strangers', true])
  })

  test('without a complaint of the browser', () => assert.deepEqual(complaints, []))
})
