// What a file says of itself, as people read it.

import type { Facts } from '../types'
import { count } from './format'

/** How long something plays: 4:33, 1 h 52 min. */
export function plays(seconds: number): string {
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
  const minutes = Math.round(seconds / 60)
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** Facts on one line, as the command line has them: who and what, then how large, how long, how many, of which kind and when. */
export function told(f: Facts | undefined): string {
  if (!f) return ''
  const name = [f.artist, f.title].filter(Boolean).join(' – ')
  return [
    name,
    f.album !== f.title && f.album,
    f.width && `${f.width}×${f.height}`,
    f.length && plays(f.length),
    f.pages && count(f.pages, 'page'),
    f.format,
    f.taken || f.year,
    f.camera,
  ].filter(Boolean).join(' · ')
}

/** Tags as a person types them, with commas between. */
export const tagsOf = (text: string): string[] => text.split(',').map((t) => t.trim()).filter(Boolean)
