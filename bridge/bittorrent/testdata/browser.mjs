// WebTorrent in a browser, as a peer: node browser.mjs WEBTORRENT.MIN.JS PLAYWRIGHT-CORE seed TRACKER FILE, or get MAGNET.
// It prints a line of JSON as soon as it has a magnet link to tell, or all of what the link names, and stays until its input ends.
import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename } from 'node:path'

const [library, playwright, what, where, file] = process.argv.slice(2)
const { chromium } = createRequire(import.meta.url)(playwright)
const server = createServer(async (req, res) => {
  const known = { '/webtorrent.js': ['text/javascript', library], '/file': ['application/octet-stream', file] }[req.url]
  res.setHeader('Content-Type', known ? known[0] : 'text/html')
  res.end(known ? await readFile(known[1]) : '<!doctype html><title>peer</title>')
})
await new Promise(done => server.listen(0, '127.0.0.1', done))
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
const page = await browser.newPage()
page.on('console', m => console.error(m.text()))
await page.goto(`http://localhost:${server.address().port}/`) // localhost: webtorrent wants a secure context
await page.evaluate(async () => {
  const { default: WebTorrent } = await import('/webtorrent.js')
  window.client = new WebTorrent({ dht: false, lsd: false, utPex: false, tracker: { rtcConfig: { iceServers: [] } } })
  client.on('error', e => console.log(`error: ${e.message}`))
  client.on('warning', e => console.log(`warning: ${e.message}`))
})
if (what === 'seed') {
  console.log(JSON.stringify({ magnet: await page.evaluate(async ([tracker, name]) => {
    const bytes = await (await fetch('/file')).arrayBuffer()
    return new Promise(resolve => client.seed(new File([bytes], name), { announce: [tracker], announceList: [[tracker]] }, t => resolve(t.magnetURI)))
  }, [where, basename(file)]) }))
} else {
  console.log(JSON.stringify(await page.evaluate(magnet => new Promise(resolve => client.add(magnet, t => {
    t.on('wire', w => console.log(`wire: ${w.type} ${w.peerId}`))
    t.on('done', async () => {
      const kinds = t.wires.map(w => w.type)
      const files = await Promise.all(t.files.map(async f => {
        const digest = await crypto.subtle.digest('SHA-256', await (await f.blob()).arrayBuffer())
        return { path: f.path, size: f.length, sha256: [...new Uint8Array(digest)].map(b => b.toString(16).padStart(2, '0')).join('') }
      }))
      resolve({ name: t.name, files, kinds })
    })
  })), where)))
}
process.stdin.resume()
await new Promise(done => process.stdin.on('end', done))
await browser.close()
process.exit(0)
