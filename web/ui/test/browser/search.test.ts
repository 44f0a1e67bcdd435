// What others share is found by words: in the palette of every page, and on a page of its own.

import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { cleanUp, complaints, enter, eventually, launch, look, Node, scratch, visitor } from './kit.ts'

const samples = join(import.meta.dirname, '../../../../search/media/testdata')

describe('search', { concurrency: 1 }, () => {
  let browser: Browser
  const anna = new Node('anna')
  const ben = new Node('ben')
  const carl = new Node('carl') // whom Ben does not know, nor
  const dora = new Node('dora')
  const instruments = ['Bagpipe', 'Theremin', 'Ukulele'] // that Dora has
  let page: Page

  before(async () => {
    browser = await launch()
    writeFileSync(join(ben.dir, 'config.toml'), '[apps.search]\nof_stranger = 1\n') // what a stranger has beyond that is asked for
    for (const n of [anna, ben, carl, dora]) await n.start()
    await anna.text('id', 'profile', '--name', 'Anna')
    const invite = /kith join '([^']+)'/.exec(await anna.text('invite'))?.[1] ?? ''
    await ben.text('join', invite)
    const dir = join(scratch, 'shared')
    mkdirSync(join(dir, 'Jazz Lectures'), { recursive: true })
    for (const [name, content] of [['Kind of Blue (1959).flac', 'blue'], ['Blue Train.flac', 'train'], ['Jazz Lectures/01 Bebop.mp3', 'bebop'], ['Jazz Lectures/02 Modal Jazz.mp3', 'modal'], ['Diary in blue.txt', 'secret']])
      writeFileSync(join(dir, name!), content!)
    await anna.text('share', '--for', 'public', join(dir, 'Kind of Blue (1959).flac'), join(dir, 'Blue Train.flac'), join(dir, 'Jazz Lectures'))
    await anna.text('share', join(dir, 'Diary in blue.txt'))
    writeFileSync(join(dir, 'Cheap pills.txt'), 'pills')
    await carl.text('share', '--for', 'public', join(dir, 'Cheap pills.txt'))
    const tunes = instruments.map((w) => join(dir, w + '.flac'))
    for (const f of tunes) writeFileSync(f, f)
    await dora.text('share', '--for', 'public', ...tunes)
    await eventually('all that Dora publishes, in one', async () => (await dora.json<{ known: number }>('search', 'lute')).known === 3)
    const { addrs } = await ben.json<{ addrs: string[] }>('id')
    for (const n of [carl, dora]) await n.text('connect', addrs.find((a) => a.startsWith('/ip4/127.0.0.1/tcp/') && !a.includes('/ws'))!)
    await eventually('what Carl published, at Ben’s', async () => /1 of 1/.test(await ben.text('search', 'pills')))
    await eventually('what Anna published, at Ben’s', async () => /2 of 2/.test(await ben.text('search', 'blue')))
    page = await enter(await visitor(browser), ben)
  })

  after(async () => {
    await browser?.close()
    for (const n of [anna, ben, carl, dora]) await n.stop()
    cleanUp()
  })

  test('the page finds it, narrows it down, and says what is missing', async () => {
    await page.goto(page.url().replace(/#.*/, '') + '#/search')
    const box = page.getByRole('searchbox', { name: 'Search what is shared' })
    await box.fill('blue')
    await page.getByText('2 results').waitFor()
    await page.getByText('From Anna').first().waitFor()
    assert.equal(await page.getByText('Diary').count(), 0)
    assert.deepEqual(await look(page, 'search'), [])
    await page.getByRole('button', { name: 'Video' }).click()
    await page.getByText('Nothing is called that').waitFor()
    await page.getByRole('button', { name: 'All' }).click()
    await box.fill('modal jaz')
    await page.getByText('Jazz Lectures').waitFor()
    await box.fill('size:banana')
    await page.getByRole('alert').getByText('is not a size').waitFor()
  })

  test('Enter asks others for what is not here', async () => {
    const at = async (...args: string[]) => (await Promise.all(instruments.map(async (w) => (/1 of 1/.test(await ben.text('search', ...args, w)) ? w : '')))).filter((w) => w)
    await eventually('all that Dora has, at Ben’s', async () => (await at()).length === 3)
    await eventually('one of that, which Ben keeps', async () => (await at('--local')).length === 1)
    const here = await at('--local') // the one with most work
    const word = instruments.find((w) => !here.includes(w))!
    const box = page.getByRole('searchbox', { name: 'Search what is shared' })
    await box.fill(word)
    await page.getByText('Enter asks others too.').waitFor()
    await page.getByText('Nothing is called that').waitFor()
    await box.press('Enter')
    await page.getByText(word + '.flac').waitFor()
    await page.getByText('Asked 2 others who may have more; 2 answered.').waitFor() // Anna is a contact
    assert.deepEqual(await look(page, 'search-asked'), [])
  })

  test('Enter finds what a contact shares with contacts', async () => {
    const film = join(scratch, 'shared', 'Holiday film.mkv')
    writeFileSync(film, 'film')
    await anna.text('share', '--for', 'contacts', film)
    await eventually('what Anna shares with contacts, at Ben’s', async () => /1 of 1/.test(await ben.text('search', 'holiday')))
    const box = page.getByRole('searchbox', { name: 'Search what is shared' })
    await box.fill('holiday film')
    await page.getByText('Nothing is called that').waitFor()
    await box.press('Enter')
    await page.getByText('From Anna · for contacts').waitFor()
    assert.deepEqual(await look(page, 'search-contacts'), [])
  })

  test('one click hides who shares it, and another shows them again', async () => {
    const box = page.getByRole('searchbox', { name: 'Search what is shared' })
    await box.fill('pills')
    await page.getByText('From').waitFor({ state: 'detached' })
    await page.getByText('1 source').waitFor()
    await page.getByRole('button', { name: 'Hide all of who shares Cheap pills.txt' }).click()
    await page.getByText('Nothing is called that').waitFor()
    await page.getByText('1 hidden').click()
    await page.getByText('Who shared Cheap pills.txt').waitFor()
    assert.deepEqual(await look(page, 'search-hidden'), [])
    await page.getByRole('button', { name: 'Show again: Cheap pills.txt' }).click()
    await page.getByText('1 result', { exact: false }).first().waitFor()
    const list = page.locator('#list')
    await list.setInputFiles({ name: 'broken.txt', mimeType: 'text/plain', buffer: Buffer.from('# spam\nnobody\n') })
    await page.getByText('line 2').waitFor()
    await page.getByRole('button', { name: 'Close this message' }).last().click()
    const carl = (await ben.json<{ results: { strangers: string[] }[] }>('search', 'pills')).results[0]!.strangers[0]!
    await list.setInputFiles({ name: 'spam.txt', mimeType: 'text/plain', buffer: Buffer.from(`${carl} # pills\n`) })
    await page.getByText('block list of 1 publisher').waitFor()
    await page.getByText('Nothing is called that').waitFor()
    await page.getByRole('button', { name: 'Remove the block list spam.txt' }).click()
    await page.getByText('1 result', { exact: false }).first().waitFor()
  })

  test('a search that is saved tells of what is new', async () => {
    const box = page.getByRole('searchbox', { name: 'Search what is shared' })
    await box.fill('trumpet')
    await page.getByText('Nothing is called that').waitFor()
    await page.getByRole('button', { name: 'Save this search' }).click()
    await page.getByRole('heading', { name: 'Saved searches' }).waitFor()
    await page.getByRole('button', { name: 'Save this search' }).waitFor({ state: 'detached' }) // once is enough
    writeFileSync(join(scratch, 'shared', 'Trumpet solo.flac'), 'trumpet')
    await anna.text('share', '--for', 'public', join(scratch, 'shared', 'Trumpet solo.flac'))
    await page.getByText('New for trumpet: Trumpet solo.flac').waitFor()
    await page.getByText('New: Trumpet solo.flac').waitFor()
    assert.deepEqual(await look(page, 'search-saved'), [])
    await page.getByRole('button', { name: 'Seen: trumpet' }).click()
    await page.getByText('New: Trumpet solo.flac').waitFor({ state: 'detached' })
    await page.getByRole('button', { name: 'Remove trumpet' }).click()
    await page.getByRole('heading', { name: 'Saved searches' }).waitFor({ state: 'detached' })
  })

  test('what a record says of itself is shown, and a lying name is told', async () => {
    const dir = join(scratch, 'shared')
    copyFileSync(join(samples, 'a.flac'), join(dir, 'Choir.flac'))
    writeFileSync(join(dir, 'Lullaby.mp3'), Buffer.concat([Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]), Buffer.alloc(99)]))
    await anna.text('share', '--for', 'public', '--tag', 'winter', '--lang', 'de', join(dir, 'Choir.flac'))
    await ben.text('share', join(dir, 'Lullaby.mp3'))
    await eventually('what Anna tagged, at Ben’s', async () => /Testchor/.test(await ben.text('search', 'choir', '--tag', 'winter', '--year', '2019', '--type', 'audio')))
    const box = page.getByRole('searchbox', { name: 'Search what is shared' })
    await box.fill('choir')
    await page.getByText('Testchor – Winterlied · Jahreszeiten · 0:02 · FLAC · 2019').waitFor()
    await box.fill('lullaby')
    await page.getByText('Says audio, is program').waitFor()
    assert.deepEqual(await look(page, 'search-lie'), [])
  })

  test('tags and language are set on the page of an item, on a phone too', async () => {
    const dir = join(scratch, 'shared')
    copyFileSync(join(samples, 'a.mkv'), join(dir, 'Evening.mkv'))
    const { ref } = await ben.json<{ ref: string }>('share', '--for', 'public', join(dir, 'Evening.mkv'))
    await page.goto(page.url().replace(/#.*/, '') + `#/files/${ref}`)
    await page.getByText('640×360 · 0:03 · Matroska · 2019').waitFor()
    await page.setViewportSize({ width: 390, height: 844 })
    const save = page.getByRole('button', { name: 'Save', exact: true })
    assert.equal(await save.isDisabled(), true)
    await page.getByLabel('Tags, with commas between').fill('sunset, Hard Bop')
    await page.getByLabel('Language').fill('de')
    await save.scrollIntoViewIfNeeded()
    assert.deepEqual(await look(page, 'item-tags'), [])
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390)
    await page.getByLabel('Language').fill('xx1')
    await save.click()
    await page.getByRole('alert').getByText('is no language').waitFor()
    await page.getByLabel('Language').fill('fr')
    await save.click()
    await page.getByText('Saved; it is told to everybody.').waitFor()
    await eventually('the tags, at Anna’s', async () => /1 of 1/.test(await anna.text('search', 'tag:sunset', 'tag:"hard bop"', 'lang:fr')))
    await page.reload()
    await page.getByText('640×360').waitFor()
    assert.equal(await page.getByLabel('Tags, with commas between').inputValue(), 'sunset, hard bop')
    await page.getByLabel('Tags, with commas between').fill('')
    await page.getByLabel('Language').fill('')
    await save.click()
    await eventually('no tags, at Anna’s', async () => /0 publications|Nothing found/.test(await anna.text('search', 'tag:sunset')) && /Nothing found/.test(await anna.text('search', 'evening', 'lang:fr')))
    await page.setViewportSize({ width: 1280, height: 800 })
  })

  test('the palette finds it on any page, and Enter fetches it', async () => {
    await page.goto(page.url().replace(/#.*/, '') + '#/people')
    await page.keyboard.press('Control+k')
    await page.getByRole('combobox').fill('kind blue')
    const found = page.getByRole('option', { name: 'Kind of Blue' })
    await found.waitFor()
    assert.deepEqual(await look(page, 'search-palette'), [])
    await found.hover()
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Kind of Blue (1959).flac' }).waitFor()
    await eventually('the file', async () => /Kind of Blue/.test(await ben.text('ls')) && /done|fetched/.test(await ben.text('ls')))
    assert.deepEqual(complaints, [])
  })
})
