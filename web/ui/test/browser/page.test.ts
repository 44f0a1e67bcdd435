// The page as a person uses it: two real nodes, a real browser. The tests build on each other, in their order.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import type { Item, Shared } from '../../src/types.ts'
import { cleanUp, complaints, enter, eventually, film, home, launch, look, Node, paste, scratch, visitor } from './kit.ts'

const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex')
const items = async (node: Node) => (await node.json<{ items: Item[] | null }>('ls')).items ?? []

/** A picture of somebody: one pixel, as a PNG file. */
function portrait(): string {
  const path = join(scratch, 'portrait.png')
  writeFileSync(path, Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64'))
  return path
}

/** Waits for a message, and closes it, so that no later test takes it for one of its own. */
async function told(page: Page, text: string) {
  const message = page.locator('.notice', { hasText: text })
  await message.getByText(text, { exact: true }).waitFor()
  await message.getByRole('button', { name: 'Close this message' }).click()
  await message.waitFor({ state: 'detached' })
}

describe('the page', { concurrency: 1 }, () => {
  let browser: Browser
  let ada: Node, grace: Node
  let adasBrowser: BrowserContext, gracesBrowser: BrowserContext
  let a: Page, g: Page
  let link = ''
  const content = randomBytes(3_000_000)

  before(async () => {
    browser = await launch()
    ada = new Node('ada')
    grace = new Node('grace')
    await Promise.all([ada.start(), grace.start()])
    adasBrowser = await visitor(browser)
    gracesBrowser = await visitor(browser)
  })

  after(async () => {
    await browser?.close()
    await Promise.all([ada?.stop(), grace?.stop()])
    cleanUp()
  })

  test('shows nothing without a session, and says how to come in', async () => {
    const url = new URL(await ada.openURL())
    const stranger = await visitor(browser)
    const page = await stranger.newPage()
    await page.goto(url.origin)
    await page.getByText('kith open').waitFor()
    assert.equal((await page.request.get(`${url.origin}/api/files/ls`)).status(), 401)
    assert.deepEqual(await look(page, 'locked'), [])

    a = await adasBrowser.newPage()
    await a.goto(url.href)
    await a.getByRole('navigation').waitFor()
    assert.equal(new URL(a.url()).hash, '', 'the code is out of the address')

    await page.goto('about:blank')
    await page.goto(url.href)
    await page.getByText('kith open').waitFor() // a code is good for one use
    await stranger.close()
  })

  test('an empty home says what to do', async () => {
    for (const name of [/^Share a file/, /^Open a link/, /^Watch eight pretend neighbours/]) await a.getByRole('button', { name }).waitFor()
    assert.deepEqual(await a.getByRole('navigation').getByRole('link').allInnerTexts(), ['Home', 'People', 'Network'])
    assert.deepEqual(await look(a, 'home-empty'), [])
  })

  test('a picked file becomes a link', async () => {
    await a.locator('#pick-files').setInputFiles({ name: 'Festival of boats.bin', mimeType: 'application/octet-stream', buffer: content })
    const dialog = a.getByRole('dialog')
    await dialog.getByText('Festival of boats.bin').waitFor()
    assert.equal(await dialog.getByRole('radio', { name: /Whoever has the link/ }).isChecked(), true)
    assert.equal(await dialog.getByRole('checkbox', { name: /Encrypt/ }).isChecked(), false)
    assert.deepEqual(await look(a, 'share-choose'), [])
    await dialog.getByRole('button', { name: 'Make the link' }).click()
    await dialog.getByText('It is shared').waitFor()

    link = await dialog.getByLabel('Link', { exact: true }).inputValue()
    assert.match(link, /^magnet:\?.*xt=urn:blake3:.*dn=Festival/)
    const short = await dialog.getByLabel('Short link').inputValue()
    assert.match(short, /^kith:/)
    assert.ok(short.length <= 200)
    assert.equal(await dialog.getByLabel('In a terminal').inputValue(), `kith get '${short}'`)
    await eventually('the QR code is drawn', () => dialog.getByRole('img', { name: /QR code/ }).evaluate((i: HTMLImageElement) => i.naturalWidth > 0))
    await dialog.getByRole('button', { name: 'Copy link' }).click()
    await dialog.getByText('Copied').waitFor()
    assert.equal(await a.evaluate(() => navigator.clipboard.readText()), link)
    assert.deepEqual(await look(a, 'share-done'), [])
    await dialog.getByRole('button', { name: 'Done' }).click()
    await a.getByRole('link', { name: 'Festival of boats.bin' }).waitFor()
  })

  test('a pasted link brings the file to the other node, byte for byte', async () => {
    g = await enter(gracesBrowser, grace)
    await g.getByRole('navigation').waitFor()
    await g.getByLabel('Paste a link').evaluate((box: HTMLElement) => box.blur())
    await paste(g, `Here you are: ${link}`)
    await g.getByRole('heading', { name: 'Festival of boats.bin' }).waitFor()
    await g.locator('.tag', { hasText: 'Complete' }).waitFor()
    const [got] = await items(grace)
    assert.equal(sha256(readFileSync(got?.path ?? '')), sha256(content))
    assert.deepEqual(await look(g, 'file'), [])
  })

  test('a folder, picked by keyboard alone, is shared where it is', async () => {
    const folder = join(home, 'Holiday')
    mkdirSync(join(folder, 'deep'), { recursive: true })
    writeFileSync(join(folder, 'a note.txt'), 'hello')
    writeFileSync(join(folder, 'deep', 'the long table.bin'), randomBytes(40_000))

    await a.keyboard.press('Control+k')
    await a.getByRole('combobox').waitFor()
    assert.deepEqual(await look(a, 'palette'), [])
    await a.keyboard.type('share from')
    await a.keyboard.press('Enter')
    const dialog = a.getByRole('dialog')
    await dialog.getByText('Holiday').waitFor()
    const where = () => dialog.locator('.path').innerText()
    assert.equal(await where(), home)
    await eventually('the list has the focus', () => dialog.locator('.name:focus').count().then((n) => n === 1))
    await a.keyboard.press('ArrowLeft')
    await eventually('the folder above', async () => (await where()) === scratch)
    await dialog.getByText('home', { exact: true }).waitFor()
    await eventually('the list has the focus again', () => dialog.locator('.name:focus').count().then((n) => n === 1))
    while ((await dialog.locator('.name:focus').innerText()).trim() !== 'home') await a.keyboard.press('ArrowDown')
    await a.keyboard.press('Enter')
    await eventually('the folder again', async () => (await where()) === home)
    await eventually('the list has the focus', () => dialog.locator('.name:focus').count().then((n) => n === 1))
    await a.keyboard.press('Space')
    await dialog.getByRole('button', { name: 'Share 1 thing' }).waitFor()
    assert.deepEqual(await look(a, 'share-browse'), [])
    for (let i = 0; i < 9 && !(await dialog.getByRole('button', { name: 'Share 1 thing' }).evaluate((b) => b === document.activeElement)); i++) await a.keyboard.press('Tab')
    await a.keyboard.press('Enter')
    await dialog.getByRole('button', { name: 'Make the link' }).waitFor()
    await a.keyboard.press('Enter')
    await dialog.getByText('It is shared').waitFor()
    const holiday = await dialog.getByLabel('Link', { exact: true }).inputValue()
    await dialog.getByRole('button', { name: 'Done' }).waitFor()
    await a.keyboard.press('Enter')
    await dialog.waitFor({ state: 'hidden' })
    assert.equal((await items(ada)).find((i) => i.name === 'Holiday')?.path, folder, 'nothing was copied')

    await a.getByRole('link', { name: 'Holiday' }).click()
    await a.getByRole('heading', { name: 'Holiday' }).waitFor()
    await a.getByText('a note.txt').waitFor()
    assert.deepEqual(await look(a, 'folder'), [])

    // The other side: all of it with the keyboard.
    await g.goto(new URL('#/', g.url()).href)
    await g.keyboard.press('Control+k')
    await g.getByRole('combobox').waitFor()
    await paste(g, holiday)
    await g.keyboard.press('Enter')
    await g.getByRole('heading', { name: 'Holiday' }).waitFor()
    await g.locator('.tag', { hasText: 'Complete' }).waitFor()
    await g.getByText('the long table.bin').waitFor()
  })

  test('a private share is sealed, and its link opens it', async () => {
    await a.goto(new URL('#/', a.url()).href)
    await a.locator('#pick-files').setInputFiles([
      { name: 'one.txt', mimeType: 'text/plain', buffer: Buffer.from('first letter') },
      { name: 'two.txt', mimeType: 'text/plain', buffer: Buffer.from('second letter') },
    ])
    const dialog = a.getByRole('dialog')
    await dialog.getByLabel(/Name of the folder/).fill('Letters')
    await dialog.getByRole('checkbox', { name: /Encrypt/ }).check()
    await dialog.getByRole('button', { name: 'Make the link' }).click()
    await dialog.getByText('It is shared').waitFor()
    const sealed = await dialog.getByLabel('Link', { exact: true }).inputValue()
    assert.match(sealed, /#[A-Za-z0-9_-]{43}$/)
    await dialog.getByRole('button', { name: 'Done' }).click()

    await g.goto(new URL('#/', g.url()).href)
    await g.getByLabel('Paste a link').fill(sealed)
    await g.getByRole('button', { name: 'Open', exact: true }).click()
    await g.getByRole('heading', { name: 'Letters' }).waitFor()
    await g.locator('.tag', { hasText: 'Complete' }).waitFor()
    await g.getByRole('button', { name: 'Open two.txt' }).waitFor()
    const got = (await items(grace)).find((i) => i.name === 'Letters')
    assert.equal(got?.folder, true)
    assert.equal(readFileSync(join(got?.path ?? '', 'two.txt'), 'utf8'), 'second letter')
  })

  test('a film plays before all of it is here', async () => {
    const bytes = await film(browser, 10)
    assert.ok(bytes.length > 3_000_000, `the film has ${bytes.length} bytes`) // Chromium reads two of them before it shows anything of a film that does not say how long it is
    const path = join(scratch, 'boats.webm')
    writeFileSync(path, bytes)
    const out = await ada.json<Shared | Shared[]>('share', path)
    await grace.text('limit', '--down', '300K')
    await g.goto(new URL('#/', g.url()).href)
    await g.getByLabel('Paste a link').fill((Array.isArray(out) ? out[0] : out)?.link ?? '')
    await g.keyboard.press('Enter')
    await g.getByRole('button', { name: 'Play' }).click()
    const played = await eventually('the film plays', async () => {
      const time = await g.locator('video').evaluate((v: HTMLVideoElement) => v.currentTime)
      const now = (await items(grace)).find((i) => i.name === 'boats.webm')
      return time > 0.2 && now ? { time, done: now.done, size: now.size } : false
    })
    await grace.text('limit', '--down', '10K') // it is to be paused in the next test, however long this one takes to look
    assert.ok(played.done < played.size, `it played at ${played.time} s, with ${played.done} of ${played.size} bytes here`)
    assert.deepEqual(await look(g, 'film'), [])
  })

  test('pause, resume, remove and delete', async () => {
    await g.getByRole('button', { name: 'Pause' }).click()
    await g.locator('.tag', { hasText: 'Paused' }).waitFor()
    await g.getByRole('button', { name: 'Resume' }).click()
    await grace.text('limit', '--down', '0')
    await g.locator('.tag', { hasText: 'Complete' }).waitFor()
    const path = (await items(grace)).find((i) => i.name === 'boats.webm')?.path ?? ''
    assert.ok(existsSync(path))
    await g.getByRole('button', { name: 'Remove' }).click()
    const dialog = g.getByRole('dialog')
    await dialog.getByRole('checkbox', { name: /Also delete/ }).check()
    assert.deepEqual(await look(g, 'remove'), [])
    await dialog.getByRole('button', { name: 'Remove and delete' }).click()
    await g.getByRole('heading', { name: 'Files' }).waitFor()
    await eventually('the file is deleted', async () => !existsSync(path))
    assert.deepEqual(await look(g, 'files'), [])
  })

  test('what is wrong with a link is said, and what to do', async () => {
    await g.goto(new URL('#/', g.url()).href)
    await g.getByLabel('Paste a link').fill(`${link}#short`)
    await g.keyboard.press('Enter')
    const alert = g.getByRole('alert')
    await alert.getByText(/damaged/).waitFor()
    await alert.getByText('Copy the whole link').waitFor()
    await g.getByLabel('Paste a link').fill(`magnet:?xt=urn:blake3:${'0'.repeat(64)}&dn=${encodeURIComponent('<img src=x onerror="document.title=1">')}`)
    await g.getByText('“<img src=x').waitFor() // text of others is text
    assert.equal(await g.locator('img[src="x"]').count(), 0)
    await g.getByLabel('Paste a link').fill(`${link}#short`)
    await g.keyboard.press('Enter')
    await alert.getByText(/damaged/).waitFor()
    assert.deepEqual(await look(g, 'home-trouble'), [])
  })

  test('people: a peer gets a name, and loses it', async () => {
    const { peer_id: id } = await ada.json<{ peer_id: string }>('id')
    await g.getByRole('navigation').getByRole('link', { name: 'People' }).click()
    await g.getByText('Add somebody by their id').click()
    await g.getByLabel('Name', { exact: true }).fill('Ada')
    await g.getByLabel('Their id').fill(id)
    await g.getByRole('button', { name: 'Add', exact: true }).click()
    await told(g, 'Ada is one of your people now.')
    await g.getByRole('listitem').filter({ hasText: 'Ada' }).getByText(/^Online/).waitFor()
    assert.deepEqual(await look(g, 'people'), [])
    await g.getByRole('button', { name: 'Remove Ada' }).click()
    await g.getByRole('dialog').getByRole('button', { name: 'Remove', exact: true }).click()
    await eventually('Ada is gone', async () => (await g.getByText('Ada', { exact: true }).count()) === 0)
  })

  test('people: one invites, the other joins, and each knows the other', async () => {
    await grace.text('id', 'profile', '--name', 'Hopper', '--picture', portrait())
    await a.goto(new URL('#/people', a.url()).href)
    await a.getByRole('button', { name: 'Invite', exact: true }).click()
    const dialog = a.getByRole('dialog')
    const link = await dialog.getByLabel('Link', { exact: true }).inputValue()
    assert.match(link, /^kith:invite:[A-Za-z0-9_-]+$/)
    await dialog.getByRole('img', { name: 'QR code' }).waitFor()
    await dialog.getByText('It works in this local network only').waitFor()
    assert.deepEqual(await look(a, 'invite'), [])
    await dialog.getByLabel('Your name').fill('Ada') // asked for where it is needed
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.getByLabel('Your name').waitFor({ state: 'hidden' })

    await g.goto(new URL('#/', g.url()).href)
    await g.getByLabel('Paste a link').fill(`kith join '${link}'`) // with the command around it
    await g.getByText('Press Enter to become contacts').waitFor()
    await g.keyboard.press('Enter')
    await Promise.all([told(g, 'Ada is one of your people now.'), told(a, 'Hopper is one of your people now.')]) // hers in place of the dialog
    const row = a.getByRole('listitem').filter({ hasText: 'Hopper' })
    await row.getByText(/^Online, direct over (TCP|QUIC), /).waitFor()
    await row.locator('img[src^="data:image/png"]').waitFor() // the picture comes by itself
    assert.deepEqual(await look(a, 'contact'), [])

    await g.getByLabel('Paste an invite').fill(await ada.json<{ link: string }>('invite').then((i) => i.link.slice(0, -3)))
    await g.getByRole('button', { name: 'Join', exact: true }).click()
    await g.getByRole('alert').getByText(/damaged/).waitFor()
    await a.getByRole('button', { name: 'Change Hopper' }).click()
    await a.getByLabel('What you call them').fill('Amazing Hopper')
    await a.getByRole('button', { name: 'Save', exact: true }).click()
    await a.getByText('Amazing Hopper', { exact: true }).waitFor()
    await a.goto(new URL('#/', a.url()).href)
  })

  test('network: peers, why, and limits', async () => {
    await g.getByRole('navigation').getByRole('link', { name: 'Network' }).click()
    await g.getByRole('region', { name: 'Peers' }).getByText('Direct').first().waitFor()
    await g.getByRole('button', { name: 'Change the limits' }).click()
    await g.getByLabel('Receive at most').fill('2M')
    await g.getByRole('button', { name: 'Set' }).click()
    await g.getByRole('button', { name: 'Change the limits' }).waitFor()
    assert.equal((await grace.json<{ down: number }>('limit')).down >= 2_000_000, true)
    await g.getByLabel('Address', { exact: true }).fill('nonsense')
    await g.getByRole('button', { name: 'Connect', exact: true }).click()
    await g.getByRole('status').getByText(/nonsense|address/i).first().waitFor()
    const doctor = g.getByRole('region', { name: 'How it is reached' })
    await doctor.getByRole('listitem').filter({ hasText: 'Listening' }).getByText('over TCP on IPv4, UDP on IPv4').waitFor()
    assert.deepEqual(await look(g, 'network'), [])
  })

  test('you: a name, and the recovery phrase until the key leaves the disk', async () => {
    await g.getByRole('link', { name: 'You and this device' }).click()
    await g.getByLabel('Your name', { exact: true }).fill('Grace')
    await g.getByRole('button', { name: 'Save' }).click()
    await g.getByRole('heading', { name: 'Grace' }).waitFor()
    assert.deepEqual(await look(g, 'you'), [])
    await g.getByRole('button', { name: /recovery phrase/ }).click()
    const dialog = g.getByRole('dialog')
    await dialog.getByRole('button', { name: 'Show me the words' }).click()
    await dialog.getByRole('listitem').nth(23).waitFor()
    const words = await dialog.getByRole('listitem').locator('strong').allInnerTexts()
    assert.equal(words.length, 24)
    assert.deepEqual(await look(g, 'phrase'), [])
    await dialog.getByRole('button', { name: 'I wrote them down' }).click()
    const fields = dialog.getByLabel(/^Word \d+$/)
    await fields.first().waitFor()
    for (const field of await fields.all()) await field.fill('wrong')
    await dialog.getByRole('button', { name: 'Confirm' }).click()
    await dialog.getByRole('alert').waitFor()
    for (const field of await fields.all()) {
      const number = Number((await field.getAttribute('id'))?.replace('word-', ''))
      await field.fill(words[number - 1] ?? '')
    }
    await dialog.getByRole('button', { name: 'Confirm' }).click()
    await dialog.waitFor({ state: 'hidden' })
    assert.equal((await grace.json<{ master: string }>('id')).master, 'away')
  })

  test('on a phone nothing is wider than the screen', async () => {
    const phone = await visitor(browser, { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true })
    const page = await enter(phone, ada)
    for (const place of ['', 'files', 'people', 'network', 'you']) {
      await page.goto(new URL(`#/${place}`, page.url()).href)
      await page.getByRole('heading', { level: 1 }).first().waitFor({ state: 'attached' })
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${place || 'home'} is too wide`)
      assert.deepEqual(await look(page, `phone-${place || 'home'}`), [])
    }
    await page.goto(new URL('#/files', page.url()).href)
    await page.getByRole('link', { name: 'Holiday' }).click()
    await page.getByRole('heading', { name: 'Holiday' }).waitFor()
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the item is too wide')
    assert.deepEqual(await look(page, 'phone-item'), [])
    await phone.close()
  })

  test('a node that stops is said, and one that comes again asks for a session and goes on', async () => {
    await ada.stop()
    await a.getByText('Kith does not answer').waitFor()
    await a.getByText(`kith --dir '${ada.dir}' up`).waitFor()
    assert.deepEqual(await look(a, 'lost'), [])

    const second = await enterAnew(a)
    await a.getByRole('navigation').waitFor() // the session that another tab began is good here too
    await second.close()
    await ada.stop()
    await ada.start(new URL(a.url()).host)
    await a.getByText(`kith --dir '${ada.dir}' open`).waitFor()
    assert.deepEqual(await look(a, 'ended'), [])
    await a.goto(await ada.openURL()) // into the same tab, which loads nothing anew: only what is behind the # changes
    await a.getByRole('navigation').waitFor()
    assert.equal(new URL(a.url()).hash, '')
  })

  /** Starts ada where she was, and opens her page in another tab. */
  async function enterAnew(left: Page): Promise<Page> {
    await ada.start(new URL(left.url()).host)
    await left.getByRole('heading', { name: 'This page’s session has ended' }).waitFor()
    return enter(left.context(), ada)
  }

  test('no policy was broken, no script failed, and nothing was asked of others', () => assert.deepEqual(complaints, []))
})
