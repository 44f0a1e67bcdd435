// Real nodes and a real browser for the tests of the page.

import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'

const run = promisify(execFile)
const results = resolve(import.meta.dirname, '../../test-results')
const require = createRequire(import.meta.url)

export const scratch = mkdtempSync(join(tmpdir(), 'kith-page-'))

/** The home folder of the person who runs the nodes. */
export const home = join(scratch, 'home')
mkdirSync(home)

/** The program under test: KITH_BIN, or built here. */
function program(): string {
  const given = process.env['KITH_BIN']
  if (given) return resolve(given)
  const built = join(scratch, 'kith')
  execFileSync('go', ['build', '-o', built, './cmd/kith'], { cwd: resolve(import.meta.dirname, '../../../..'), stdio: 'inherit' })
  return built
}

/** The program under test. */
export const kith = program()

/** A node in a process of its own, on loopback only. */
export class Node {
  readonly dir: string
  #process: ChildProcess | undefined

  constructor(name: string) {
    this.dir = join(scratch, name)
    mkdirSync(this.dir)
  }

  /** Starts it; at a given address of its interface, if it is to be found there again. */
  async start(api = '127.0.0.1:0', ...flags: string[]) {
    const quiet = ['--no-open', '--no-mdns', '--no-upnp', '--no-mainline', '--api', api, '--listen', '/ip4/127.0.0.1/tcp/0', '--listen', '/ip4/127.0.0.1/udp/0/quic-v1']
    const child = spawn(kith, ['up', '--dir', this.dir, ...quiet, ...flags], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, HOME: home } })
    this.#process = child
    let said = ''
    child.stderr.on('data', (text: Buffer) => (said += text.toString()))
    await new Promise<void>((ready, failed) => {
      child.stdout.on('data', (text: Buffer) => {
        said += text.toString()
        if (said.includes('kith is up')) ready()
      })
      child.once('exit', (code) => failed(new Error(`kith up ended with ${code}: ${said}`)))
    })
  }

  async stop() {
    const child = this.#process
    if (!child || child.exitCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    await ended
  }

  /** Runs a command against the node. */
  async text(...args: string[]): Promise<string> {
    return (await run(kith, ['--dir', this.dir, ...args])).stdout.trim()
  }

  async json<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.text(...args, '--json')) as T
  }

  openURL = () => this.text('open', '--print')
}

/** The program of the IPFS network itself, on loopback only; .ci/install builds it. */
export class Kubo {
  static readonly program = resolve(import.meta.dirname, '../../../../.tools/bin/ipfs')
  readonly dir = join(scratch, 'kubo')
  addr = '' // with /p2p/
  #process: ChildProcess | undefined

  async text(...args: string[]): Promise<string> {
    return (await run(Kubo.program, args, { env: { ...process.env, IPFS_PATH: this.dir, IPFS_TELEMETRY: 'off' } })).stdout.trim()
  }

  async start() {
    await this.text('init', '--empty-repo')
    const path = join(this.dir, 'config')
    const conf = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
    Object.assign(conf, {
      Bootstrap: [], AutoConf: { Enabled: false }, AutoTLS: { Enabled: false }, DNS: { Resolvers: {} }, Routing: { Type: 'none', DelegatedRouters: [] }, Ipns: { DelegatedPublishers: [] },
      Discovery: { MDNS: { Enabled: false } }, Swarm: { DisableNatPortMap: true }, Addresses: { Swarm: ['/ip4/127.0.0.1/tcp/0'], API: '/ip4/127.0.0.1/tcp/0', Gateway: '/ip4/127.0.0.1/tcp/0' },
    })
    writeFileSync(path, JSON.stringify(conf))
    const child = spawn(Kubo.program, ['daemon'], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, IPFS_PATH: this.dir, IPFS_TELEMETRY: 'off' } })
    this.#process = child
    await new Promise<void>((ready, failed) => {
      let said = ''
      const hear = (text: Buffer) => {
        said += text.toString()
        if (said.includes('Daemon is ready')) ready()
      }
      child.stdout.on('data', hear)
      child.stderr.on('data', hear)
      child.once('exit', (code) => failed(new Error(`ipfs daemon ended with ${code}: ${said}`)))
    })
    this.addr = (await this.text('id', '-f', '<addrs>')).split(/\s+/).find((a) => a.includes('/tcp/')) ?? ''
  }

  async stop() {
    const child = this.#process
    if (!child || child.exitCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGINT')
    await ended
  }
}

const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

export function launch(): Promise<Browser> {
  const path = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
  if (!existsSync(path)) throw new Error(`no Chromium at ${path}: install Debian's chromium, or name one in CHROMIUM`)
  return chromium.launch({ executablePath: path, args: [...flags, '--autoplay-policy=no-user-gesture-required'] })
}

/** Whatever a page says that it should not: broken policies, failed scripts, errors on the console. */
export const complaints: string[] = []

export async function visitor(browser: Browser, options: Parameters<Browser['newContext']>[0] = {}): Promise<BrowserContext> {
  const context = await browser.newContext({ viewport: { width: 1180, height: 860 }, permissions: ['clipboard-read', 'clipboard-write'], ...options })
  context.setDefaultTimeout(20_000)
  await context.addInitScript(() => document.addEventListener('securitypolicyviolation', (e) => console.error(`policy ${e.violatedDirective}: ${e.blockedURI}`)))
  context.on('page', (page) => {
    page.on('pageerror', (err) => complaints.push(`${page.url()}: ${err.message}`))
    page.on('console', (m) => {
      const refused = /Failed to load resource: .*(status of 4|ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY)/.test(m.text()) // tests provoke these
      if (m.type() === 'error' && !refused) complaints.push(`${page.url()}: ${m.text()}`)
    })
    page.on('request', (r) => {
      const { hostname, protocol } = new URL(r.url())
      const own = hostname === '127.0.0.1' || hostname.endsWith('.localhost')
      if (!own && !['data:', 'blob:', 'about:'].includes(protocol)) complaints.push(`${page.url()} asks ${r.url()}`)
    })
  })
  return context
}

export async function enter(context: BrowserContext, node: Node): Promise<Page> {
  const page = await context.newPage()
  await page.goto(await node.openURL())
  await page.getByRole('navigation').waitFor()
  return page
}

const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')

interface Violation {
  id: string
  help: string
  nodes: { html: string; failureSummary: string }[]
}

/** Runs axe-core over the page, in light and in dark, takes a picture of each, and returns what axe has against it. */
export async function look(page: Page, name: string): Promise<string[]> {
  mkdirSync(results, { recursive: true })
  const found: string[] = []
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await page.screenshot({ path: join(results, `${name}-${colorScheme}.png`) })
    await page.evaluate(axe)
    const violations = await page.evaluate(async () => {
      const checked = await (window as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } }).axe.run()
      return checked.violations
    })
    for (const v of violations) found.push(`${name} ${colorScheme}: ${v.help}: ${v.nodes.map((n) => `${n.html.slice(0, 120)} ${n.failureSummary}`).join(' | ')}`)
  }
  await page.emulateMedia({ colorScheme: null, reducedMotion: null })
  return found
}

/** Pastes text as a person would, with the focus wherever it is. */
export async function paste(page: Page, text: string) {
  await page.evaluate((t) => navigator.clipboard.writeText(t), text)
  await page.keyboard.press('ControlOrMeta+v')
}

/** Waits until check gives something that is not false, for at most ms milliseconds. */
export async function eventually<T>(what: string, check: () => Promise<T | false | undefined>, ms = 30_000): Promise<T> {
  const end = Date.now() + ms
  for (;;) {
    const got = await check()
    if (got !== false && got !== undefined) return got
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await new Promise((r) => setTimeout(r, 100))
  }
}

/** A port that is free for TCP and UDP, below those that systems give to whoever asks for any: nobody takes it meanwhile. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000)
    const tcp = createServer()
    const udp = createSocket('udp4')
    try {
      await once(tcp.listen(port), 'listening')
      await once(udp.bind(port), 'listening')
      return port
    } catch {
      // somebody has it: another
    } finally {
      tcp.close()
      udp.close()
    }
  }
}

/** Records a few seconds of a moving picture as WebM: a film that is made here, since none may be in the repository. */
export async function film(browser: Browser, seconds: number): Promise<Buffer> {
  const context = await browser.newContext()
  const page = await context.newPage()
  const base64 = await page.evaluate(async (ms) => {
    const canvas = document.createElement('canvas')
    canvas.width = 640
    canvas.height = 360
    const g = canvas.getContext('2d')!
    const draw = setInterval(() => {
      const noise = g.createImageData(640, 360) // noise does not compress: the film is as large as its bit rate says
      for (let i = 0; i < noise.data.length; i += 4) noise.data.fill(Math.random() * 255, i, i + 3), (noise.data[i + 3] = 255)
      g.putImageData(noise, 0, 0)
    }, 60)
    const recorder = new MediaRecorder(canvas.captureStream(15), { mimeType: 'video/webm;codecs=vp8', videoBitsPerSecond: 4_000_000 })
    const parts: Blob[] = []
    recorder.ondataavailable = (e) => parts.push(e.data)
    recorder.start(500)
    await new Promise((r) => setTimeout(r, ms))
    const stopped = new Promise((r) => (recorder.onstop = r))
    recorder.stop()
    await stopped
    clearInterval(draw)
    const bytes = new Uint8Array(await new Blob(parts).arrayBuffer())
    let text = ''
    for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000))
    return btoa(text)
  }, seconds * 1000)
  await context.close()
  return Buffer.from(base64, 'base64')
}

export const cleanUp = () => rmSync(scratch, { recursive: true, force: true })
