// A reader of server-sent events (HTML, section 9.2), since EventSource can neither POST nor see an error's body.

export interface Event {
  name: string
  data: string
}

/** Splits a stream of text into events. Feed it chunks as they come; each call gives the events that became whole. */
export class Parser {
  #rest = ''
  #name = ''
  #data: string[] = []

  feed(chunk: string): Event[] {
    const events: Event[] = []
    const text = this.#rest + chunk
    let start = 0
    for (;;) {
      const end = lineEnd(text, start)
      if (end < 0) break
      this.#line(text.slice(start, end), events)
      start = end + (text[end] === '\r' && text[end + 1] === '\n' ? 2 : 1)
    }
    this.#rest = text.slice(start)
    return events
  }

  #line(line: string, events: Event[]) {
    if (line === '') {
      if (this.#data.length > 0) events.push({ name: this.#name || 'message', data: this.#data.join('\n') })
      else if (this.#name) events.push({ name: this.#name, data: '' })
      this.#name = ''
      this.#data = []
      return
    }
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1))
    if (field === 'event') this.#name = value
    else if (field === 'data') this.#data.push(value)
  }
}

/** Where the line that begins at start ends, or -1 if that cannot be told yet (a CR at the very end may be half a CRLF). */
function lineEnd(text: string, start: number): number {
  for (let i = start; i < text.length; i++) {
    if (text[i] === '\n') return i
    if (text[i] === '\r') return i + 1 < text.length ? i : -1
  }
  return -1
}
