// What a person pasted: is there a link to something in it?

export interface Found {
  link: string
  name: string // '' if the link does not say
  size: number // -1 if the link does not say
  sealed: boolean // it carries a key
}

const maxText = 64 << 10

// Up to the next blank or quote: a link is often pasted with the command or the sentence around it.
const patterns = [/magnet:\?[^\s'"<>]+/i, /\bkith:[A-Za-z0-9_-]{40,}/, /\bbaf[ky]r4i[a-z2-7]{50,56}(#[A-Za-z0-9_-]{43})?(?![A-Za-z0-9_-])/]

/** Finds the first link that Kith can open in text, or null. */
export function recognise(text: string): Found | null {
  if (text.length > maxText) return null
  for (const pattern of patterns) {
    const link = pattern.exec(text)?.[0]
    if (!link) continue
    if (!/^magnet:/i.test(link)) return { link, name: '', size: -1, sealed: link.includes('#') }
    const found = magnet(link)
    if (found) return found
  }
  return null
}

function magnet(link: string): Found | null {
  const [query = '', key = ''] = link.slice('magnet:?'.length).split('#')
  const params = new URLSearchParams(query)
  const names = params.getAll('xt').some((xt) => xt.startsWith('urn:blake3:')) || params.has('x.cid')
  if (!names) return null
  const size = Number(params.get('xl') ?? '-1')
  return { link, name: params.get('dn') ?? '', size: Number.isSafeInteger(size) ? size : -1, sealed: key !== '' }
}

/** Finds the first invite in text, or ''. */
export const invitation = (text: string): string => (text.length > maxText ? '' : (/\bkith:invite:[A-Za-z0-9_-]{100,}/i.exec(text)?.[0] ?? ''))

/** Finds the first link between devices of one person in text, or ''. */
export const deviceLink = (text: string): string => (text.length > maxText ? '' : (/\bkith:device:[A-Za-z0-9_-]{100,}/i.exec(text)?.[0] ?? ''))

/** Whether text is a magnet link of another program's, which names nothing that Kith can fetch yet. */
export const foreignMagnet = (text: string): boolean => /^\s*magnet:\?/i.test(text) && recognise(text) === null
