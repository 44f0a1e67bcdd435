// Calls the person when the page is not before their eyes, if they have agreed to that.

/** What the browser says: default means that the person has not been asked. */
export const permission = (): NotificationPermission | 'none' => (typeof Notification === 'function' && isSecureContext ? Notification.permission : 'none')

/** Asks the person; only after a click of theirs. */
export const agree = (): Promise<NotificationPermission> => Notification.requestPermission()

/** Says something outside the page; a click on it brings them to a place of the page. */
export function call(title: string, body: string, place: string) {
  if (permission() !== 'granted' || !document.hidden) return
  try {
    const n = new Notification(title, { body, icon: '/icon.svg', tag: title })
    n.onclick = () => {
      window.focus()
      location.hash = place
      n.close()
    }
  } catch {
    // browsers of phones have them for installed pages only
  }
}
