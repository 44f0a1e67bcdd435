// Browsers that are not at this computer: a guest with a link, and the owner's phone. Both are on loopback here, which the settings say.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import type { Guest, PhoneOut, PhonesOut } from '../../src/types.ts'
import { cleanUp, complaints, enter, eventually, film, launch, look, Node, scratch, visitor } from './kit.ts'

const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex')
const small = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }
const narrow = (page: Page) => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)

describe('guests and one’s own phone', { concurrency: 1 }, () => {
  let browser: Browser
  let ada: Node
  let page: Page
  let boats: Buffer
  let guest: BrowserContext

  before(async () => {
    browser = await launch()
    ada = new Node('ada')
    writeFileSync(join(ada.dir, 'config.toml'), "[apps.files]\nat = '127.0.0.1'\n[apps.phone]\nat = '127.0.0.1'\n")
    boats = await film(browser, 3)
    writeFileSync(join(scratch, 'small boats.webm'), boats)
    mkdirSync(join(scratch, 'Holiday', 'beach'), { recursive: true })
    for (const name of ['one.txt', 'two.txt', 'beach/a picture with quite a long name, from the second day.png']) writeFileSync(join(scratch, 'Holiday', name), 'hello')
    await ada.start()
    await ada.text('share', join(scratch, 'small boats.webm'))
    page = await enter(await visitor(browser), ada)
    guest = await visitor(browser, small)
  })

  after(async () => {
    await browser?.close()
    await ada?.stop()
    cleanUp()
  })

  test('a guest link is made on the page', async () => {
    await page.getByRole('link', { name: 'small boats.webm' }).click()
    await page.getByRole('button', { name: 'Guest link' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('Not encrypted').waitFor()
    assert.deepEqual(await look(page, 'guest-choose'), [])
    await dialog.getByLabel('At most for').selectOption('1 device')
    await dialog.getByRole('button', { name: 'Make the link' }).click()
    await dialog.getByRole('img', { name: 'QR code' }).waitFor()
    await dialog.getByText(/^(1 h|60 min|59 min)$/).waitFor()
    await dialog.getByText('0 of 1 device').waitFor()
    assert.deepEqual(await look(page, 'guest-link'), [])
  })

  test('a guest sees the film in any browser, and takes it home', async () => {
    const url = await page.getByLabel('Opens in any browser').inputValue()
    assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/[A-Za-z0-9_-]{22}\/small%20boats\.webm$/)
    const g = await guest.newPage()
    await g.goto(url)
    await g.getByRole('heading', { name: 'small boats.webm' }).waitFor()
    await g.getByText('Not encrypted').waitFor()
    assert.ok(await narrow(g), 'it is too wide for a phone')
    assert.deepEqual(await look(g, 'phone-guest-film'), [])
    const coming = g.waitForEvent('download')
    await g.getByRole('link', { name: 'Download' }).click()
    const file = await (await coming).path()
    assert.equal(sha256(readFileSync(file)), sha256(boats))
    assert.equal((await coming).suggestedFilename(), 'small boats.webm')
    await page.getByRole('dialog').getByText(/^1 of 1 device, /).waitFor()
    await g.locator('video').evaluate((v: HTMLVideoElement) => v.play())
    await eventually('the film plays', async () => (await g.locator('video').evaluate((v: HTMLVideoElement) => v.currentTime)) > 0.3)
    await g.close()
  })

  test('what is ended is over at once', async () => {
    const url = await page.getByLabel('Opens in any browser').inputValue()
    await page.getByRole('dialog').getByRole('button', { name: 'Done' }).click()
    await ada.text('share', '--guest', join(scratch, 'Holiday'))
    await page.getByRole('navigation').getByRole('link', { name: 'Files' }).click()
    await page.getByText('nobody has fetched it yet').waitFor()
    assert.deepEqual(await look(page, 'guest-links'), [])
    await page.getByRole('button', { name: 'End the guest link to small boats.webm' }).click()
    await page.getByRole('button', { name: 'End the guest link to small boats.webm' }).waitFor({ state: 'hidden' })
    const g = await guest.newPage()
    await g.goto(url)
    await g.getByRole('heading', { name: 'This link has ended' }).waitFor()
    assert.deepEqual(await look(g, 'phone-guest-ended'), [])
    await g.close()
  })

  test('a folder is a list, and one ZIP', async () => {
    const { guests } = await ada.json<{ guests: Guest[] }>('guest')
    const g = await guest.newPage()
    await g.goto(guests[0]?.url ?? '')
    await g.getByRole('link', { name: 'two.txt' }).waitFor()
    assert.ok(await narrow(g), 'it is too wide for a phone')
    assert.deepEqual(await look(g, 'phone-guest-folder'), [])
    const coming = g.waitForEvent('download')
    await g.getByRole('link', { name: 'Download all as ZIP' }).click()
    assert.equal((await coming).suggestedFilename(), 'Holiday.zip')
    assert.equal(readFileSync(await (await coming).path()).subarray(0, 2).toString(), 'PK')
    await g.getByRole('link', { name: 'one.txt' }).click()
    await g.getByRole('link', { name: 'Back to the list' }).click()
    await g.getByRole('link', { name: 'two.txt' }).waitFor()
    await g.close()
  })

  test('a guest’s page reaches nothing of the node', async () => {
    const { guests } = await ada.json<{ guests: Guest[] }>('guest')
    const context = await browser.newContext(small) // whose page is made to do what the policy forbids, and complains
    const g = await context.newPage()
    await g.goto(guests[0]?.url ?? '')
    const api = new URL(page.url()).origin
    for (const url of [`${api}/api/node/status`, `${api}/api/openapi.json`, `${api}/`]) {
      const got = await g.evaluate((u) => fetch(u, { credentials: 'include' }).then((r) => r.status, () => 'refused'), url)
      assert.equal(got, 'refused', url)
    }
    const plain = await context.request.get(`${api}/api/node/status`, { headers: { Origin: new URL(guests[0]?.url ?? '').origin } })
    assert.equal(plain.status(), 401)
    assert.deepEqual(await context.cookies(), [])
    await context.close()
  })

  let phone: Page
  test('the phone is let in by a code that the page shows', async () => {
    await page.goto(new URL('#/you', page.url()).href)
    await page.getByRole('button', { name: 'Open on my phone' }).click()
    await page.getByRole('img', { name: 'QR code for your phone' }).waitFor()
    assert.deepEqual(await look(page, 'phone-code'), [])
    await page.getByRole('button', { name: 'Copy the address' }).click()
    const url = await page.evaluate(() => navigator.clipboard.readText())
    assert.match(url, /^https:\/\/127\.0\.0\.1:\d+\/#open=[A-Za-z0-9_-]{22}$/)
    const own = await visitor(browser, { ...small, ignoreHTTPSErrors: true, userAgent: 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148 Safari/604.1' })
    phone = await own.newPage()
    const told = page.getByText('Safari on iPhone is let in.').waitFor()
    await phone.goto(url)
    await phone.getByRole('navigation').waitFor()
    assert.equal(new URL(phone.url()).hash, '')
    await told
    await page.getByRole('button', { name: 'Shut out Safari on iPhone' }).waitFor()
    assert.deepEqual(await look(page, 'phone-let-in'), [])
    const again = await visitor(browser, { ...small, ignoreHTTPSErrors: true })
    const other = await again.newPage()
    await other.goto(url)
    await other.getByRole('heading', { name: 'This phone is not let in' }).waitFor()
    assert.deepEqual(await look(other, 'phone-locked'), [])
    await again.close()
  })

  test('on the phone, the page does what it does', async () => {
    await phone.getByRole('link', { name: 'small boats.webm' }).click()
    await phone.getByRole('button', { name: 'Play' }).click()
    await eventually('the film plays', async () => (await phone.locator('video').evaluate((v: HTMLVideoElement) => v.currentTime)) > 0.3)
    assert.notEqual(await phone.locator('video').evaluate((v: HTMLVideoElement) => new URL(v.currentSrc).origin), new URL(phone.url()).origin)
    assert.deepEqual(await look(phone, 'phone-own-film'), [])
    await phone.goto(new URL('#/', phone.url()).href)
    await phone.locator('#pick-files').setInputFiles({ name: 'from the phone.txt', mimeType: 'text/plain', buffer: Buffer.from('a photo') })
    await phone.getByRole('dialog').getByRole('button', { name: 'Make the link' }).click()
    await phone.getByRole('dialog').getByText('It is shared').waitFor()
    await phone.getByRole('dialog').getByRole('button', { name: 'Done' }).click()
    await phone.goto(new URL('#/you', phone.url()).href)
    await phone.getByText('You are on it.').waitFor()
    assert.ok(await narrow(phone), 'it is too wide for a phone')
    assert.deepEqual(await look(phone, 'phone-own-you'), [])
  })

  test('a phone that is shut out sees nothing more, and the way closes behind it', async () => {
    const before = await ada.json<PhonesOut>('phone', 'ls')
    assert.equal(before.phones?.length, 1)
    await page.getByRole('button', { name: 'Shut out Safari on iPhone' }).click()
    await page.getByRole('button', { name: 'Shut out Safari on iPhone' }).waitFor({ state: 'hidden' })
    await eventually('the way is closed', async () => !(await ada.json<PhonesOut>('phone', 'ls')).on)
    await phone.getByText('Kith does not answer').waitFor()
    const out = await ada.json<PhoneOut>('phone') // and it is another code that opens it again
    await phone.goto(out.url)
    await phone.getByRole('navigation').waitFor()
    await phone.context().close()
  })

  test('no policy was broken, no script failed, and nothing was asked of others', () => assert.deepEqual(complaints, []))
})
