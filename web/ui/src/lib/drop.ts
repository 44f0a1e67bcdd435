// What a person dropped or picked, as a list of files with their paths.

export interface Picked {
  file: File
  path: string // slash separated, with the folder's own name in front if it is in one
}

export const maxFiles = 100_000

/** Reads what was dropped, folders with all that is in them. Call it while the event lasts: the entries are gone afterwards. */
export function dropped(data: DataTransfer): Promise<Picked[]> {
  const entries = [...data.items].filter((i) => i.kind === 'file').map((i) => i.webkitGetAsEntry())
  const plain = [...data.files]
  return collect(entries, plain)
}

async function collect(entries: (FileSystemEntry | null)[], plain: File[]): Promise<Picked[]> {
  if (entries.some((e) => e === null)) return plain.map((file) => ({ file, path: file.name }))
  const found: Picked[] = []
  for (const entry of entries) if (entry) await walk(entry, found)
  return found
}

async function walk(entry: FileSystemEntry, found: Picked[]): Promise<void> {
  if (found.length >= maxFiles) throw new Error(`more than ${maxFiles.toLocaleString('en')} files: pick the folder on this computer instead`)
  const path = entry.fullPath.replace(/^\//, '')
  if (entry.isFile) {
    const file = await new Promise<File>((ok, no) => (entry as FileSystemFileEntry).file(ok, no))
    found.push({ file, path })
    return
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader()
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((ok, no) => reader.readEntries(ok, no)) // at most 100 at a time
    if (some.length === 0) return
    for (const child of some) await walk(child, found)
  }
}

/** What an <input type=file> holds. */
export const chosen = (list: FileList | null): Picked[] => [...(list ?? [])].map((file) => ({ file, path: file.webkitRelativePath || file.name }))

/** What goes under one link. */
export interface Bundle {
  name: string
  files: Picked[] // a file that stands alone, or paths that begin with the folder's name
  size: number
  loose: boolean // several things that were in no folder together: they get one, which the person can name
}

/** Puts what was picked under one name: the file's, the folder's, or a new one for several things. */
export function bundle(picked: Picked[]): Bundle {
  const size = picked.reduce((n, p) => n + p.file.size, 0)
  const tops = new Set(picked.map((p) => p.path.split('/')[0] ?? ''))
  const [top = ''] = tops
  const loose = tops.size > 1
  return { name: loose ? `${tops.size} things` : top, files: picked, size, loose }
}

/** A path in a loose bundle that has been given a name. */
export const under = (name: string, path: string): string => `${name.replace(/[/\\]/g, '-').trim()}/${path}`
