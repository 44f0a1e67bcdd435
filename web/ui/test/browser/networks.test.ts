// Public networks of other programs: sharing to them from the page of a real node.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { cleanUp, complaints, enter, launch, look, Node, visitor } from './kit.ts'

const anna = new Node('networks-anna')
let browser: Browser
let page: Page

before(async () => {
  writeFileSync(join(anna.dir, 'config.toml'), 'ipfs_hosts = []\n[bittorrent]\nlisten = "127.0.0.1"\ndht = false\nlpd = false\n[ipfs]\nlisten = ["/ip4/127.0.0.1/tcp/0"]\n')
  await anna.start()
  browser = await launch()
})

after(async () => {
  await browser?.close()
  await anna.stop()
  cleanUp()
})

test('what the switch for public networks means is said before it is done', async () => {
  page = await enter(await visitor(browser), anna)
  await page.locator('#pick-files').setInputFiles({ name: 'letter.txt', mimeType: 'text/plain', buffer: Buffer.from('dear ben') })
  const dialog = page.getByRole('dialog')
  const toggle = dialog.getByRole('switch')
  await toggle.check()
  await dialog.getByText('It is encrypted, since it is for whoever has the link.').waitFor()
  assert.equal(await dialog.getByLabel('Encrypt it').isDisabled(), true)
  assert.deepEqual(await look(page, 'networks-share'), [])
  await dialog.getByText('My contacts').click()
  assert.equal(await toggle.isDisabled(), true)
  await dialog.getByText('Everybody', { exact: true }).click()
  await dialog.getByText('Its names and contents are open to everybody.').waitFor()
  await dialog.getByRole('button', { name: 'Make the link' }).click()
  await dialog.getByLabel('For programs of IPFS').waitFor()
  assert.match(await dialog.getByLabel('Link', { exact: true }).inputValue(), /^magnet:\?xt=urn:btih:[0-9a-f]{40}&/)
  assert.match(await dialog.getByLabel('For programs of IPFS').inputValue(), /^ipfs:\/\/baf/)
  assert.deepEqual(await look(page, 'networks-shared'), [])
  await dialog.getByRole('link', { name: 'Its page' }).click()
  await page.getByRole('heading', { name: 'Other networks' }).waitFor()
  await page.getByRole('button', { name: 'Stop serving to IPFS' }).click()
  await page.getByRole('button', { name: 'Serve to IPFS' }).waitFor()
  assert.deepEqual(await look(page, 'networks-item'), [])
  assert.deepEqual(complaints, [])
})
