// Helia, the IPFS of JavaScript, in Node, as a peer that knows nobody else:
//   node helia.mjs NODE_MODULES get MULTIADDR CID…   prints a line of JSON for each file: its path, size, and SHA-256
//   node helia.mjs NODE_MODULES seed FILE            prints a line of JSON: the CID, and where it listens; until its standard input ends
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { register } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

// WebRTC is taken for granted, whose binary is not installed.
register('data:text/javascript,' + encodeURIComponent(`
const names = ['RTCPeerConnection', 'RTCSessionDescription', 'RTCIceCandidate', 'RTCDataChannel', 'RTCDataChannelEvent', 'RTCPeerConnectionIceEvent', 'RTCTrackEvent', 'RTCCertificate', 'MediaStream', 'PeerConnection', 'IceUdpMuxListener', 'initLogger', 'cleanup', 'preload']
const none = 'data:text/javascript,' + names.map(n => 'export class ' + n + ' {}').join(';') + '; export default {}'
export const resolve = (what, context, next) => what.startsWith('@ipshipyard/node-datachannel') ? { url: none, shortCircuit: true } : next(what, context)`))

// And Node 22.
Promise.withResolvers ??= function () {
  const d = {}
  d.promise = new Promise((resolve, reject) => Object.assign(d, { resolve, reject }))
  return d
}

const [modules, mode, ...args] = process.argv.slice(2)
const load = name => import(pathToFileURL(join(modules, name)))
const { createHelia } = await load('helia/dist/src/index.js')
const { unixfs } = await load('@helia/unixfs/dist/src/index.js')
const { createLibp2p } = await load('libp2p/dist/src/index.js')
const { tcp } = await load('@libp2p/tcp/dist/src/index.js')
const { noise } = await load('@chainsafe/libp2p-noise/dist/src/index.js')
const { yamux } = await load('@chainsafe/libp2p-yamux/dist/src/index.js')
const { identify } = await load('@libp2p/identify/dist/src/index.js')
const { bitswap } = await load('@helia/block-brokers/dist/src/index.js')
const { multiaddr } = await load('@multiformats/multiaddr/dist/src/index.js')
const { CID } = await load('multiformats/dist/src/cid.js')

const libp2p = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] }, transports: [tcp()], connectionEncrypters: [noise()], streamMuxers: [yamux()], services: { identify: identify() }
})
const helia = await createHelia({ libp2p, blockBrokers: [bitswap()], routers: [] })
const fs = unixfs(helia)
const say = what => console.log(JSON.stringify(what))

if (mode === 'get') {
  await libp2p.dial(multiaddr(args[0]))
  const file = async (cid, path) => {
    const hash = createHash('sha256')
    let size = 0
    for await (const part of fs.cat(cid)) {
      hash.update(part)
      size += part.length
    }
    say({ path, size, sha256: hash.digest('hex') })
  }
  const folder = async (cid, path) => {
    for await (const entry of fs.ls(cid)) {
      const at = path ? path + '/' + entry.name : entry.name
      if (entry.type === 'directory') await folder(entry.cid, at)
      else await file(entry.cid, at)
    }
  }
  for (const text of args.slice(1)) {
    const cid = CID.parse(text)
    const { type } = await fs.stat(cid)
    if (type === 'directory') await folder(cid, '')
    else await file(cid, '')
  }
} else {
  const cid = await fs.addBytes(await readFile(args[0]))
  say({ cid: cid.toString(), at: libp2p.getMultiaddrs()[0].toString() })
  for await (const _ of process.stdin) ;
}
await helia.stop()
process.exit(0)
