import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bundle, under, type Picked } from '../../src/lib/drop.ts'

const picked = (path: string, size = 3): Picked => ({ path, file: { name: path.split('/').pop() ?? '', size } as File })

test('one file keeps its name, a folder its own', () => {
  assert.deepEqual(pick(bundle([picked('boats.mkv')])), { name: 'boats.mkv', size: 3, loose: false })
  assert.deepEqual(pick(bundle([picked('photos/a.jpg'), picked('photos/b/c.jpg', 4)])), { name: 'photos', size: 7, loose: false })
})

test('several things get a folder, whose name leads out of nowhere', () => {
  const b = bundle([picked('a.jpg'), picked('photos/b.jpg'), picked('photos/c.jpg')])
  assert.deepEqual(pick(b), { name: '2 things', size: 9, loose: true })
  assert.equal(under('Summer', 'photos/b.jpg'), 'Summer/photos/b.jpg')
  assert.equal(under('../../etc', 'passwd'), '..-..-etc/passwd')
})

const pick = ({ name, size, loose }: ReturnType<typeof bundle>) => ({ name, size, loose })
