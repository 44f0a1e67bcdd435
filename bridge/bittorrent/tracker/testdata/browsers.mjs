// Two browsers share a file over WebTorrent, and find each other by one tracker: node browsers.mjs WEBTORRENT.MIN.JS PLAYWRIGHT-CORE TRACKER
// It prints what the second has got, and ends.
import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'

const [library, playwright, tracker] = process.argv.slice(2)
const { chromium } = createRequire(import.meta.url)(playwright)
const server = createServer(async (req, res) => {
  const script = req.url === '/webtorrent.js'
  res.setHeader('Content-Type', script ? 'text/javascript' : 'text/html')
  res.end(script ? await readFile(library) : '<!doctype html><title>peer</title>')
})
await new Promise(done => server.listen(0, '127.0.0.1', done))
const page = `http://localhost:${server.address().port}/` // localhost: webtorrent wants a secure context
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
try {
  const seed = await (await browser.newContext()).newPage()
  await seed.goto(page)
  const magnet = await seed.evaluate(async tracker => {
    const { default: WebTorrent } = await import('/webtorrent.js')
    window.client = new WebTorrent({ dht: false, lsd: false, utPex: false, tracker: { rtcConfig: { iceServers: [] } } })
    const bytes = new Uint8Array(300_000).map((_, i) => i * i >> 7)
    return new Promise((resolve, reject) => {
      client.on('error', reject)
      client.seed(new File([bytes], 'squares.bin'), { announce: [tracker], announceList: [[tracker]] }, t => resolve(t.magnetURI))
    })
  }, tracker)
  const leech = await (await browser.newContext()).newPage()
  await leech.goto(page)
  const got = await leech.evaluate(async magnet => {
    const { default: WebTorrent } = await import('/webtorrent.js')
    window.client = new WebTorrent({ dht: false, lsd: false, utPex: false, tracker: { rtcConfig: { iceServers: [] } } })
    return new Promise((resolve, reject) => {
      client.on('error', reject)
      client.add(magnet, t => t.on('done', async () => {
        const bytes = new Uint8Array(await (await t.files[0].blob()).arrayBuffer())
        resolve({ name: t.name, size: bytes.length, right: bytes.every((b, i) => b === (i * i >> 7 & 255)), peers: t.numPeers })
      }))
    })
  }, magnet)
  console.log(JSON.stringify(got))
} finally {
  await browser.close()
  server.close()
}
process.exit(0)
