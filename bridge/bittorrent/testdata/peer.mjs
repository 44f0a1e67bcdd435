// WebTorrent in Node, as a peer: node peer.mjs WEBTORRENT/INDEX.JS FOLDER MAGNET-OR-TORRENT. It fetches into the folder what is not there, and serves what is.
import { register } from 'node:module'
import { pathToFileURL } from 'node:url'

// Version 2.8.5 takes two things for granted: WebRTC, whose binary is not installed, and that text has hexadecimal digits, as it does in browsers.
register('data:text/javascript,' + encodeURIComponent(`
const none = 'data:text/javascript,export const RTCPeerConnection = undefined, RTCSessionDescription = undefined, RTCIceCandidate = undefined; export default {}'
export const resolve = (what, context, next) => what === 'webrtc-polyfill' ? { url: none, shortCircuit: true } : next(what, context)
export async function load (url, context, next) {
  const found = await next(url, context)
  if (url.endsWith('/uint8-util/dist/src/node.js')) found.source = found.source.toString().replace('arr2hex = (data) =>', "arr2hex = (data) => typeof data === 'string' ? data :")
  return found
}`))

const [library, folder, what] = process.argv.slice(2)
const { default: WebTorrent } = await import(pathToFileURL(library))
const client = new WebTorrent({ dht: false, lsd: false, natUpnp: false, natPmp: false, utp: false })
client.on('error', e => console.log(`error: ${e.stack}`))
client.add(what, { path: folder }, t => {
  t.on('warning', e => console.log(`warning: ${e}`))
  t.on('wire', w => console.log(`wire: ${w.type} ${w.remoteAddress}`))
  t.on('done', () => console.log('done'))
})
