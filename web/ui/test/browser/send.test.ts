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
    await b.getByText('Offered to Anna; waiting for an answer').waitFor()
    assert.equal(await b.getByRole('dialog').count(), 0, 'it is not shared beside that')
    assert.deepEqual(await look(b, 'send-offered'), [])
  })

  test('who it is for is told, takes it, and has it byte for byte', async () => {
    await a.getByText('Ben sends you film.mkv', { exact: true }).waitFor()
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
    await a.getByRole('button', { name: 'Decline letter.txt' }).waitFor()
    assert.ok(await a.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'it is too wide for a phone')
    assert.deepEqual(await look(a, 'phone-inbox'), [])
    await a.getByRole('button', { name: 'Decline letter.txt' }).click()
    await b.getByText('Anna declined it').waitFor()
    await a.getByRole('button', { name: 'Take letter.txt off the list' }).click()
    await a.getByText('letter.txt from Ben').waitFor({ state: 'hidden' })
  })

  test('no policy was broken, no script failed, and nothing was asked of others', () => assert.deepEqual(complaints, []))
})
