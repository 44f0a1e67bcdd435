// The overlay as a node sees it, and a lookup on it: a ring of real nodes, and buckets of others, on a large screen and on a phone.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { cleanUp, complaints, enter, eventually, launch, look, Node, visitor } from './kit.ts'

describe('the overlay', { concurrency: 1 }, () => {
  let browser: Browser
  const ring = [0, 1, 2, 3].map((n) => new Node(`ring-${n}`))
  const tree = [0, 1, 2].map((n) => new Node(`tree-${n}`))
  const drawn = (page: Page) => page.getByRole('region', { name: 'Overlay' })
  let page: Page

  async function join(nodes: Node[]) {
    const { addrs } = await nodes[0]!.json<{ addrs: string[] }>('id')
    const addr = addrs.find((a) => a.startsWith('/ip4/127.0.0.1/tcp/') && !a.includes('/ws'))!
    for (const n of nodes.slice(1)) await n.text('connect', addr)
    await eventually('they know each other', async () => new Set((await nodes[0]!.json<{ entries: { peer: string }[] }>('overlay')).entries.map((e) => e.peer)).size === nodes.length - 1)
  }

  async function show(node: Node): Promise<Page> {
    const page = await enter(await visitor(browser), node)
    await page.getByRole('link', { name: 'Network' }).click()
    await drawn(page).scrollIntoViewIfNeeded()
    return page
  }

  before(async () => {
    browser = await launch()
    await Promise.all([...ring.map((n) => n.start('127.0.0.1:0', '--overlay', 'chord')), ...tree.map((n) => n.start())])
    page = await show(ring[0]!)
  })

  after(async () => {
    await browser?.close()
    await Promise.all([...ring, ...tree].map((n) => n.stop()))
    cleanUp()
  })

  test('who is alone is told so', async () => {
    await drawn(page).getByText('This node is alone on its ring: it runs on Chord').waitFor()
  })

  test('a ring grows, and says who is who to mouse, keyboard and screen reader', async () => {
    await join(ring)
    await drawn(page).getByText('This node knows 3 nodes: 1 predecessor and 3 successors.').waitFor()
    const dots = drawn(page).getByRole('button', { name: /: (predecessor, )?successor/ })
    await eventually('all are drawn', async () => (await dots.count()) === 3)
    await drawn(page).locator('[role=button][tabindex="0"]').focus()
    await page.keyboard.press('ArrowRight')
    await drawn(page).getByText(/^(predecessor, )?successor \d · connected/).waitFor()
    assert.deepEqual(await look(page, 'overlay-ring'), [])
    await drawn(page).getByText('All that it knows').click()
    assert.equal(await drawn(page).getByRole('row').count(), 4)
    await drawn(page).getByText('All that it knows').click()
  })

  test('a lookup goes step by step to where the node itself says that it ends', async () => {
    const { self } = await ring[0]!.json<{ self: { id: string } }>('overlay')
    let said: { names: { id: string }[] }
    let key = 'hello'
    for (; ; key += '!') { // until it is another node's
      said = await ring[0]!.json('overlay', 'find', key)
      if (said.names[0]!.id !== self.id) break
    }
    await page.getByLabel('Look up a key').fill(key)
    await page.keyboard.press('Enter')
    const steps = drawn(page).getByRole('log', { name: 'Steps of the lookup' })
    await steps.getByText('This node itself names 3 nodes.').waitFor()
    await drawn(page).getByRole('status').getByText(/^It ends after .* the first node at or after the key\./).waitFor()
    await steps.getByRole('listitem').filter({ hasText: said.names[0]!.id.slice(0, 10) }).getByText('says that the key is its own').waitFor()
    await page.setViewportSize({ width: 390, height: 844 })
    await drawn(page).evaluate((e) => e.scrollIntoView())
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'it is too wide for a phone')
    assert.deepEqual(await look(page, 'phone-overlay-lookup'), [])
    await page.getByRole('button', { name: 'Close the lookup' }).click()
    await steps.waitFor({ state: 'detached' })
  })

  test('what cannot be looked up is said', async () => {
    await page.getByLabel('Look up a key').fill('@nobody')
    await page.getByRole('button', { name: 'Look up', exact: true }).click()
    await drawn(page).getByRole('alert').getByText('There is no contact "nobody"').waitFor()
  })

  test('buckets, for who has asked for less motion', async () => {
    await join(tree)
    const other = await show(tree[0]!)
    await other.emulateMedia({ reducedMotion: 'reduce' })
    await drawn(other).getByText(/^How nodes find .* knows 2 nodes: 2 contacts in \d buckets?\.$/).waitFor()
    await other.getByLabel('Look up a key').fill('hello')
    await other.keyboard.press('Enter')
    await drawn(other).getByRole('status').getByText('2 nodes asked, 2 answered.').waitFor()
    assert.deepEqual(await look(other, 'overlay-buckets'), [])
  })

  test('without a complaint of the browser', () => assert.deepEqual(complaints, []))
})
