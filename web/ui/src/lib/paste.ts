// What a person pasted: is there a link to something in it?

export type Elsewhere = '' | 'BitTorrent' | 'IPFS' | 'BitTorrent and IPFS' | 'the web'

export interface Found {
  link: string
  name: string // '' if the link does not say
  size: number // -1 if the link does not say
  sealed: boolean // it carries a key
  from: Elsewhere // public networks of other programs that are asked too
}

const maxText = 64 << 10

// Up to the next blank or quote: a link is often pasted with the command or the sentence around it. What only looks like a link where it stands alone, such as an infohash, must.
const patterns: [RegExp, Elsewhere][] = [
  [/magnet:\?[^\s'"<>]+/i, ''],
  [/\bkith:[A-Za-z0-9_-]{40,}/, ''],
  [/\bbaf[ky]r4i[a-z2-7]{50,56}(#[A-Za-z0-9_-]{43})?(?![A-Za-z0-9_-])/, ''],
  [/\bip[fn]s:\/\/[^\s'"<>]+/i, 'IPFS'],
  [/(?<![\w/.])\/ip[fn]s\/[^\s'"<>]+/, 'IPFS'],
  [/^\s*(Qm[1-9A-HJ-NP-Za-km-z]{44}|baf[a-z2-7]{50,110}|k51[a-z0-9]{50,60})\s*$/, 'IPFS'],
  [/^\s*([0-9a-f]{40}|[0-9a-f]{64}|1220[0-9a-f]{64}|[a-z2-7]{32})\s*$/i, 'BitTorrent'],
  [/^\s*https?:\/\/[^\s'"<>]+\s*$/i, 'the web'],
]

/** Finds the first link that Kith can open in text, or null. */
export function recognise(text: string): Found | null {
  if (text.length > maxText) return null
  for (const [pattern, from] of patterns) {
    const link = pattern.exec(text)?.[0].trim()
    if (!link) continue
    if (!/^magnet:/i.test(link)) return { link, name: '', size: -1, sealed: from === '' && link.includes('#'), from: elsewhere(link, from) }
    const found = magnet(link)
    if (found) return found
  }
  return null
}

/** Who is asked for an address of the web: a gateway's is one of IPFS, a torrent's one of BitTorrent. */
function elsewhere(link: string, from: Elsewhere): Elsewhere {
  if (from !== 'the web') return from
  if (/^https?:\/\/[^/?#]+\/ip[fn]s\/|^https?:\/\/[^./]+\.ip[fn]s\./i.test(link)) return 'IPFS'
  return /\.torrent$/i.test(link.split(/[?#]/)[0] ?? '') ? 'BitTorrent' : from
}

function magnet(link: string): Found | null {
  const [query = '', key = ''] = link.slice('magnet:?'.length).split('#')
  const params = new URLSearchParams(query)
  const topics = params.getAll('xt').concat([...params].filter(([k]) => /^xt\.\d+$/.test(k)).map(([, v]) => v))
  const cids = params.getAll('x.cid')
  const torrent = topics.some((xt) => /^urn:btih:|^urn:btmh:/i.test(xt))
  const ipfs = cids.some((cid) => !/^baf[ky]r4i/.test(cid)) || params.getAll('xs').some((xs) => /^ip[fn]s:/i.test(xs))
  const ours = topics.some((xt) => /^urn:blake3:/i.test(xt)) || cids.some((cid) => /^baf[ky]r4i/.test(cid))
  const web = params.has('xs')
  if (!torrent && !ipfs && !ours && !web) return null
  const from: Elsewhere = torrent && ipfs ? 'BitTorrent and IPFS' : torrent ? 'BitTorrent' : ipfs ? 'IPFS' : ours ? '' : 'the web'
  const size = Number(params.get('xl') ?? '-1')
  return { link, name: params.get('dn') ?? '', size: Number.isSafeInteger(size) ? size : -1, sealed: ours && key !== '', from }
}

/** Finds the first invite in text, or ''. */
export const invitation = (text: string): string => (text.length > maxText ? '' : (/\bkith:invite:[A-Za-z0-9_-]{100,}/i.exec(text)?.[0] ?? ''))

/** Finds the first link between devices of one person in text, or ''. */
export const deviceLink = (text: string): string => (text.length > maxText ? '' : (/\bkith:device:[A-Za-z0-9_-]{100,}/i.exec(text)?.[0] ?? ''))

/** Whether text is a magnet link that names nothing Kith can fetch, such as one of ed2k alone. */
export const foreignMagnet = (text: string): boolean => /^\s*magnet:\?/i.test(text) && recognise(text) === null

/** Whether a file is a torrent, which says what to fetch. */
export const isTorrent = (name: string): boolean => /\.torrent$/i.test(name)
