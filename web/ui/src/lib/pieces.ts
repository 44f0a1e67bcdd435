// The map of what is here, from the base64 bytes that `show` gives.

export function decode(base64 = ''): Uint8Array {
  try {
    return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))
  } catch {
    return new Uint8Array()
  }
}

/** The map in a sentence, for who cannot see it. */
export function summary(pieces: Uint8Array, rarity: Uint8Array): string {
  if (pieces.length === 0) return 'Nothing is known of its parts yet.'
  const here = pieces.reduce((n, p) => n + p, 0) / (255 * pieces.length)
  if (here === 1) return 'Every part is here.'
  const begun = `${Math.floor(here * 100)} % is here.`
  if (rarity.length !== pieces.length) return begun
  const missing = rarity.filter((_, n) => pieces[n] !== 255)
  const nowhere = missing.filter((r) => r === 0).length
  if (nowhere > 0) return `${begun} ${Math.ceil((100 * nowhere) / pieces.length)} % of it is with nobody who is online now.`
  const fewest = missing.reduce((a, b) => Math.min(a, b), 255)
  return `${begun} Every missing part is with at least ${fewest} ${fewest === 1 ? 'source' : 'sources'}.`
}
