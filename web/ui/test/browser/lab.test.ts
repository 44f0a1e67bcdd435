// The page of a lab: neighbours are taken away and brought back there, by mouse, by key, and in the table.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { cleanUp, complaints, kith, launch, look, visitor } from './kit.ts'

let lab: ChildProcess
let browser: Browser
let context: BrowserContext
let page: Page

before(async () => {
  lab = spawn(kith, ['lab', '--nodes', '6', '--latency', '10ms..40ms', '--nat', '50%', '--seed', '3', '--network', 'page-test', '--no-open'], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  const url = await new Promise<string>((found, failed) => {
    lab.stdout!.on('data', (text: Buffer) => {
      said += text.toString()
      const at = /http:\S+/.exec(said)
      if (at) found(at[0])
    })
    lab.once('exit', (code) => failed(new Error(`kith lab ended with ${code}: ${said}`)))
  })
  browser = await launch()
  context = await visitor(browser)
  page = await context.newPage()
  await page.goto(url)
  await page.getByRole('button', { name: /^1, Ada; here/ }).waitFor()
})

after(async () => {
  await browser?.close()
  const ended = once(lab, 'exit')
  lab.kill('SIGTERM')
  await ended
  cleanUp()
})

test('a neighbour is picked, killed and revived', async () => {
  const bao = page.getByRole('button', { name: /^2, Bao;/ })
  await bao.focus()
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: '2 · Bao' }).waitFor()
  await page.getByRole('button', { name: 'Kill Bao' }).first().click()
  await page.getByRole('button', { name: /^2, Bao; away/ }).waitFor()
  await page.getByText('Away: it was killed, and told nobody.').waitFor()
  assert.match((await page.locator('#here').textContent())!, /^5 of 6$/)
  assert.deepEqual(await look(page, 'lab-killed'), [])
  await page.getByRole('button', { name: 'Revive Bao' }).first().click()
  await page.getByRole('button', { name: /^2, Bao; here, [1-9]/ }).waitFor({ timeout: 40_000 })
  await page.keyboard.press('Escape')
  await page.locator('#picked').waitFor({ state: 'hidden' })
})

test('the table says the same, and does the same', async () => {
  await page.getByText('The same as a table').click()
  const row = page.getByRole('row', { name: /3 · Chidi/ })
  await row.getByRole('button', { name: 'Kill Chidi' }).click()
  await row.getByRole('cell', { name: 'away' }).waitFor()
  await row.getByRole('button', { name: 'Revive Chidi' }).click()
  await row.getByRole('cell', { name: 'here' }).waitFor()
})

test('a neighbour shares another thing, and its own page opens', async () => {
  await page.getByRole('button', { name: /^1, Ada;/ }).focus()
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: 'Share something: Ada' }).click()
  await page.getByText('It shares ').waitFor()
  await page.locator('#samples li').nth(6).waitFor()
  const [own] = await Promise.all([context.waitForEvent('page'), page.getByRole('button', { name: 'Open its page: Ada' }).click()])
  await own.getByRole('navigation').waitFor()
  await own.close()
})

test('it fits a phone', async () => {
  await page.setViewportSize({ width: 390, height: 844 })
  assert.deepEqual(await look(page, 'lab-phone'), [])
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'it is wider than the screen')
})

test('nothing is refused, fails or is fetched from outside', () => assert.deepEqual(complaints, []))
