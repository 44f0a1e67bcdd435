// A private network on the page: it is made, shown, invited into, and left, and the page stays open while the node moves.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { cleanUp, complaints, enter, eventually, launch, look, Node, paste, visitor } from './kit.ts'

describe('a private network', { concurrency: 1 }, () => {
  let browser: Browser
  const anna = new Node('anna')
  const ben = new Node('ben')
  let hers: Page
  let his: Page

  before(async () => {
    browser = await launch()
    await anna.start()
    await ben.start()
    await anna.text('id', 'profile', '--name', 'Anna')
    await ben.text('id', 'profile', '--name', 'Ben')
    hers = await enter(await visitor(browser), anna)
    his = await enter(await visitor(browser), ben)
  })

  after(async () => {
    await browser?.close()
    await anna.stop()
    await ben.stop()
    cleanUp()
  })

  test('Anna makes one, and her page is there again', async () => {
    await hers.getByRole('navigation').getByRole('link', { name: 'Network' }).click()
    await hers.getByRole('button', { name: 'Make a private network' }).click()
    await hers.getByLabel('Name').fill('family')
    assert.deepEqual(await look(hers, 'private-new'), [])
    await startsAgain(hers, () => hers.getByRole('button', { name: 'Make it' }).click())
    await hers.getByRole('heading', { name: 'Your private network: family' }).waitFor()
    await hers.getByRole('button', { name: 'Show its link' }).click()
    assert.match(await hers.getByLabel('Link', { exact: true }).inputValue(), /^kith:network:/)
    assert.deepEqual(await look(hers, 'private-link'), [])
    await hers.keyboard.press('Escape')
  })

  test('Ben pastes her invite, and is in it and her contact', async () => {
    const invite = await anna.json<{ link: string }>('invite')
    await his.bringToFront()
    await paste(his, invite.link)
    await startsAgain(his, () => his.getByRole('button', { name: 'Join', exact: true }).click())
    await eventually('Ben knows Anna', async () => (await ben.text('people').catch(() => '')).includes('Anna'))
    await his.getByRole('navigation').getByRole('link', { name: 'Network' }).click()
    await his.getByRole('heading', { name: 'Your private network: family' }).waitFor()
    await his.getByRole('listitem').filter({ hasText: 'Anna' }).first().waitFor()
    assert.deepEqual(await look(his, 'private-in'), [])
  })

  test('Anna keeps a list; Ben goes', async () => {
    await hers.bringToFront()
    await hers.getByRole('listitem').filter({ hasText: 'Ben' }).first().waitFor() // what comes above moves the list down, also while it is clicked on
    await hers.getByText('List of members').click()
    await hers.getByLabel('Put on the list').fill('@Ben')
    await hers.getByRole('button', { name: 'Add', exact: true }).click()
    await hers.getByRole('button', { name: 'Take off' }).waitFor()
    assert.deepEqual(await look(hers, 'private-list'), [])
    await his.bringToFront()
    await his.getByRole('button', { name: 'Leave it' }).click()
    await startsAgain(his, () => his.getByRole('button', { name: 'Leave', exact: true }).click())
    await his.getByRole('heading', { name: 'Your network: kith' }).waitFor()
    assert.deepEqual(complaints, [])
  })
})

/** Does what makes the node start again, and waits until the page has been loaded anew: until then it may still show what was before. */
async function startsAgain(page: Page, act: () => Promise<void>) {
  const loaded = page.waitForEvent('load')
  await act()
  await loaded
}
