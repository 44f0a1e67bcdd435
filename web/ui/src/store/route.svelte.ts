// Where the page is: the part of the address behind the #.

export type Place = 'home' | 'files' | 'people' | 'network' | 'you' | 'search'

export interface Route {
  place: Place
  ref: string // of one item, under files; under search what is looked for
}

const places: readonly string[] = ['home', 'files', 'people', 'network', 'you', 'search'] satisfies Place[]

export function parse(hash: string): Route {
  const [place = '', ref = ''] = hash.replace(/^#\/?/, '').split('/')
  return { place: places.includes(place) ? (place as Place) : 'home', ref: decodeURIComponent(ref) }
}

export const href = (place: Place, ref = ''): string => (ref ? `#/${place}/${encodeURIComponent(ref)}` : `#/${place === 'home' ? '' : place}`)

class Here {
  route = $state.raw<Route>(parse(location.hash))

  constructor() {
    addEventListener('hashchange', () => {
      this.route = parse(location.hash)
      scrollTo(0, 0)
    })
  }

  go(place: Place, ref = '') {
    location.hash = href(place, ref)
  }
}

export const here = new Here()
