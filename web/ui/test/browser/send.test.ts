// Something goes from one person to another: two real nodes, whose owners are contacts, and a real browser for each.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import type { Delivery } from '../../src/types.ts'
import { cleanUp, complaints, enter, eventually, launch, look, Node, visitor } from './kit.ts'

const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex')

describe('sending to a person', { concurrency: 1 }, () => {
  let browser: Browser
  let ben: Node, anna: Node
  let b: Page, a: Page
  const content = randomBytes(2_000_000)

  before(async () => {
    browser = await launch()
    ben = new Node('ben')
    anna = new Node('anna')
    await Promise.all([ben.start(), anna.start()])
    const [his, hers] = await Promise.all([ben, anna].map((n) => n.json<{ peer_id: string; addrs: string[] }>('id')))
    await ben.json('people', 'add', 'Anna', hers!.peer_id)
    await anna.json('people', 'add', 'Ben', his!.peer_id)
    await ben.json('connect', hers!.addrs.find((addr) => addr.includes('/tcp/')) ?? '')
    b = await enter(await visitor(browser), ben)
    a = await enter(await visitor(browser), anna)
  })

  after(async () => {
    await browser?.close()
    await Promise.all([ben?.stop(), anna?.stop()])
    cleanUp()
  })

  test('a file dropped on somebody is offered to them', async () => {
    const face = b.getByRole('button', { name: 'Send a file to Anna' })
    await face.waitFor()
    const data = await b.evaluateHandle((base64) => {
      const transfer = new DataTransfer()
      transfer.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], 'film.mkv'))
      return transfer
    }, content.toString('base64'))
    await face.dispatchEvent('dragenter', { dataTransfer: data })
    await face.dispatchEvent('dragover', { dataTransfer: data })
    await face.dispatchEvent('drop', { dataTransfer: data })
    const dialog = b.getByRole('dialog')
    await dialog.getByText('Anna is online').waitFor()
    await dialog.getByLabel('A note, if you like').fill('from the <b>lake</b>')
    assert.deepEqual(await look(b, 'send-note'), [])
    await b.keyboard.press('Enter') // the focus is in the note
    await b.getByText(/^Offered to Anna; waiting for an answer\. It waits until /).waitFor()
    assert.equal(await b.getByRole('dialog').count(), 0, 'it is not shared beside that')
    assert.deepEqual(await look(b, 'send-offered'), [])
  })

  test('who it is for is told, takes it, and has it byte for byte', async () => {
    await a.getByText('Ben sends you film.mkv', { exact: true }).waitFor()
    await a.getByText(/^It waits for your answer until /).waitFor()
    await a.getByText('“from the <b>lake</b>”').waitFor() // text of others is text
    assert.match(await a.title(), /^\(1\) /)
    await a.getByRole('button', { name: 'Tell me when something comes' }).waitFor({ state: 'hidden' }) // this browser may not ask
    assert.deepEqual(await look(a, 'inbox-offered'), [])
    await a.getByRole('button', { name: 'Accept film.mkv' }).click()
    await a.getByRole('link', { name: 'Open film.mkv' }).waitFor()
    await b.getByText('Delivered to Anna').waitFor()
    const { deliveries } = await anna.json<{ deliveries: Delivery[] }>('inbox')
    assert.equal(deliveries[0]?.path, join(anna.dir, 'files', 'Inbox', 'film.mkv'))
    assert.equal(sha256(readFileSync(deliveries[0].path)), sha256(content))
    await eventually('nothing stays shared', async () => ((await ben.json<{ items: unknown[] }>('ls')).items ?? []).length === 0)
    assert.deepEqual(await look(a, 'inbox-here'), [])
    assert.deepEqual(await look(b, 'send-delivered'), [])
  })

  test('what is declined is said to be so', async () => {
    await a.setViewportSize({ width: 390, height: 844 })
    await b.getByRole('button', { name: 'Send a file to Anna' }).waitFor()
    await b.locator('li input[type=file]').setInputFiles({ name: 'letter.txt', mimeType: 'text/plain', buffer: Buffer.from('hello') })
    await b.getByRole('dialog').getByRole('button', { name: 'Send', exact: true }).click()
    await a.getByRole('button', { name: 'Decline letter.txt' }).waitFor()
    assert.ok(await a.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'it is too wide for a phone')
    assert.deepEqual(await look(a, 'phone-inbox'), [])
    await a.getByRole('button', { name: 'Decline letter.txt' }).click()
    await b.getByText('Anna declined it. Ask Anna before you send it again').waitFor()
    await b.getByRole('button', { name: 'Send again letter.txt' }).waitFor()
    assert.deepEqual(await look(b, 'send-declined'), [])
    await a.getByRole('button', { name: 'Take letter.txt off the list' }).click()
    await a.getByText('letter.txt from Ben').waitFor({ state: 'hidden' })
  })

  test('what is taken without asking is said on the contact, and comes by itself', async () => {
    await a.setViewportSize({ width: 1180, height: 860 })
    await a.getByRole('navigation').getByRole('link', { name: 'People' }).click()
    await a.getByRole('button', { name: 'Change Ben' }).click()
    await a.getByLabel('What they send you').selectOption('Take up to 100 MiB a day without asking')
    assert.deepEqual(await look(a, 'people-auto'), [])
    await a.getByRole('button', { name: 'Save', exact: true }).click()
    await a.getByText('takes up to 105 MB a day without asking').waitFor()
    assert.deepEqual((await anna.json<{ auto: unknown[] }>('inbox', 'auto')).auto, [{ who: 'Ben', max: 104_857_600 }])
    const told = a.getByText('letter.txt from Ben is here.').waitFor()
    await b.getByRole('button', { name: 'Send again letter.txt' }).click()
    await b.getByText('Delivered to Anna').nth(1).waitFor()
    await told
    await a.getByRole('button', { name: 'Change Ben' }).click() // it stays with a contact that is renamed
    await a.getByLabel('What you call them').fill('Benjamin')
    await a.getByRole('button', { name: 'Save', exact: true }).click()
    await a.getByText('Benjamin', { exact: true }).waitFor()
    await a.getByText('takes up to 105 MB a day without asking').waitFor()
  })

  test('it waits while they are offline, and says so', async () => {
    await anna.stop()
    await b.getByText('not online', { exact: true }).waitFor({ state: 'attached' })
    await b.locator('li input[type=file]').setInputFiles({ name: 'late.txt', mimeType: 'text/plain', buffer: Buffer.from('hello') })
    await b.getByRole('dialog').getByText('it waits until Anna is online').waitFor()
    await b.getByRole('dialog').getByRole('button', { name: 'Send', exact: true }).click()
    await b.getByText(/^Waiting for Anna to be online\. It is offered as soon as Anna is online, until /).waitFor()
    await b.setViewportSize({ width: 390, height: 844 })
    assert.ok(await b.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'it is too wide for a phone')
    assert.deepEqual(await look(b, 'phone-send-waiting'), [])
  })

  test('no policy was broken, no script failed, and nothing was asked of others', () => assert.deepEqual(complaints, []))
})
