// Numbers as people read them.

const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB']

/** A size in decimal units with three digits that count; '' when it is not known (negative). */
export function bytes(n: number): string {
  if (n < 0 || !Number.isFinite(n)) return ''
  let unit = 0
  while (n >= 999.5 && unit < units.length - 1) {
    n /= 1000
    unit++
  }
  const digits = unit === 0 || n >= 99.95 ? 0 : n >= 9.995 ? 1 : 2
  return `${n.toFixed(digits)} ${units[unit]}`
}

/** A rate, or '' when nothing moves. */
export const rate = (n: number): string => (n >= 1 ? `${bytes(n)}/s` : '')

/** A time span that is still to come; '' when it is not known (negative). */
export function duration(seconds: number): string {
  if (seconds < 0 || !Number.isFinite(seconds)) return ''
  if (seconds < 1) return 'a moment'
  if (seconds < 59.5) return `${Math.round(seconds)} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 60) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`
  const days = Math.round(hours / 24)
  return days > 99 ? 'more than 99 days' : `${days} ${days === 1 ? 'day' : 'days'}`
}

/** Seconds until a time; 0 when it is past. */
export const until = (time: string, now = Date.now()): number => Math.max(0, (Date.parse(time) - now) / 1000)

/** How far something is, 0 to 1; nothing of nothing is all of it. */
export function fraction(done: number, size: number): number {
  if (size < 0) return 0
  return size === 0 ? 1 : Math.min(1, Math.max(0, done / size))
}

/** A fraction in percent that says 100 % only when it is all. */
export const percent = (part: number): string => `${part >= 1 ? 100 : Math.min(99, Math.floor(part * 100))} %`

/** A count with its noun: 1 file, 2 files. */
export const count = (n: number, one: string, many = `${one}s`): string => `${n.toLocaleString('en')} ${n === 1 ? one : many}`

/** A round trip in milliseconds. */
export const milliseconds = (n: number): string => (n < 0 ? '' : n < 10 ? `${n.toFixed(1)} ms` : `${Math.round(n)} ms`)

/** Enough of a long id to tell it from others. */
export const shortID = (id: string): string => (id.length <= 14 ? id : `…${id.slice(-8)}`)

/** When something was, in a few words. */
export function ago(then: string, now = Date.now()): string {
  const time = Date.parse(then)
  if (Number.isNaN(time) || time <= 0) return ''
  const seconds = Math.max(0, (now - time) / 1000)
  if (seconds < 45) return 'just now'
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`
  if (seconds < 86_400) return `${Math.round(seconds / 3600)} h ago`
  if (seconds < 7 * 86_400) return count(Math.round(seconds / 86_400), 'day') + ' ago'
  return new Date(time).toLocaleDateString('en', { day: 'numeric', month: 'short', year: 'numeric' })
}

/** Text with a capital first letter: the node's reasons begin small, as errors do. */
export const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

/** What the node says of an error, without what is for programmers: the package in front and the kind behind. */
export const plainly = (detail: string, kind = ''): string => {
  const text = detail.replace(/^[a-z]+: (?=\S)/, '')
  return kind && text.endsWith(`: ${kind}`) ? text.slice(0, -kind.length - 2) : text
}
