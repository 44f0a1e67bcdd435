// What somebody with a browser alone is being given: the dialog for it stands over every page.

import type { Guest } from '../types'

export const giving = $state<{ of: { ref: string; name: string } | undefined; shown: Guest | undefined }>({ of: undefined, shown: undefined })
