// A person's picture, made small.

const side = 256 // pixels

/** Cuts the middle square out of an image file, and returns it as a JPEG in a data: URL. */
export async function thumbnail(file: File): Promise<string> {
  const image = await createImageBitmap(file).catch(() => Promise.reject(new Error('This is no picture that the browser can read.')))
  const canvas = document.createElement('canvas')
  canvas.width = canvas.height = side
  const cut = Math.min(image.width, image.height)
  canvas.getContext('2d')?.drawImage(image, (image.width - cut) / 2, (image.height - cut) / 2, cut, cut, 0, 0, side, side)
  image.close()
  return canvas.toDataURL('image/jpeg', 0.85)
}
