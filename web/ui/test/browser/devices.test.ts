// Several devices of one person: linked by a link that one page shows and another takes, seen by a contact, and revoked.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { cleanUp, complaints, enter, eventually, launch, look, Node, visitor } from './kit.ts'

describe('several devices as one person', { concurrency: 1 }, () => {
  let browser: Browser
  const laptop = new Node('laptop')
  const phone = new Node('phone')
  const ben = new Node('ben')
  let old: Page
  let fresh: Page

  const you = async (page: Page) => {
    await page.getByRole('link', { name: 'You and this device' }).click()
    await page.getByRole('heading', { name: 'Your devices' }).waitFor()
  }

  before(async () => {
    browser = await launch()
    for (const n of [laptop, phone, ben]) await n.start()
    await laptop.text('id', 'profile', '--name', 'Anna')
    await ben.text('id', 'profile', '--name', 'Ben')
    const invite = /kith join '([^']+)'/.exec(await laptop.text('invite'))?.[1] ?? ''
    await ben.text('join', invite)
    old = await enter(await visitor(browser), laptop)
    fresh = await enter(await visitor(browser), phone)
  })

  after(async () => {
    await browser?.close()
    for (const n of [laptop, phone, ben]) await n.stop()
    cleanUp()
  })

  test('one page shows a link, the other takes it, and both are the same person', async () => {
    await you(old)
    await old.getByRole('button', { name: 'Link a device' }).click()
    const dialog = old.getByRole('dialog')
    await dialog.getByRole('img', { name: 'QR code' }).waitFor()
    const link = await dialog.getByLabel('Link', { exact: true }).inputValue()
    assert.match(link, /^kith:device:[A-Za-z0-9_-]+$/)
    assert.deepEqual(await look(old, 'device-link'), [])

    await you(fresh)
    await fresh.getByLabel('Paste the link that your other device shows').fill(`kith id link '${link}'`)
    await fresh.getByRole('button', { name: 'Link', exact: true }).click()
    await fresh.getByText('This device is Anna’s now').waitFor()
    await dialog.waitFor({ state: 'hidden' })
    await fresh.getByRole('heading', { name: 'Anna' }).waitFor()
    await eventually('the contact, on the phone', async () => /Ben/.test(await phone.text('people')))
    await eventually('the phone, at Ben’s', async () => (await ben.text('people')).split('12D3').length === 3)
    assert.equal(await fresh.getByRole('button', { name: /^Revoke / }).count(), 1)
    assert.deepEqual(await look(fresh, 'devices'), [])
  })

  test('a device is revoked, and says so itself', async () => {
    await you(old)
    await old.getByRole('button', { name: /^Revoke / }).click()
    assert.deepEqual(await look(old, 'device-revoke'), [])
    await old.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
    await old.getByText('is no longer you').waitFor()
    await eventually('the phone knows', async () => /was revoked on/.test(await phone.text('status')))
    await fresh.reload()
    await you(fresh)
    await fresh.getByText('This device was revoked').waitFor()
    assert.deepEqual(await look(fresh, 'device-revoked'), [])
    await eventually('Ben has cut it off', async () => (await ben.text('people')).split('12D3').length === 2)
    assert.deepEqual(complaints, [])
  })
})
