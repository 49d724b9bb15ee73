/** What is fetched to build, test and publish is named by what it is, and not by a name that can move. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'

const workflows = readdirSync('.github/workflows').map((name) => ({
  name,
  text: readFileSync(join('.github/workflows', name), 'utf8'),
}))

it('workflows pin actions by commit, with the version in a comment', () => {
  const uses = workflows.flatMap(({ text }) =>
    [...text.matchAll(/uses: *(.+)$/gm)].map(([, what = '']) => what),
  )
  const foreign = uses.filter((what) => !what.startsWith('./'))
  expect(foreign.length).toBeGreaterThan(10)
  expect(foreign.filter((what) => !/^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(what))).toEqual([])
})

it('all workflows use the same commit of an action', () => {
  const commits = new Map<string, Set<string>>()
  for (const { text } of workflows) {
    for (const [, action = '', commit = ''] of text.matchAll(/uses: *([\w/-]+)@(\S+)/g)) {
      commits.set(action, (commits.get(action) ?? new Set()).add(commit))
    }
  }
  expect([...commits].filter(([, each]) => each.size > 1)).toEqual([])
})

it('pip installs only packages whose hash is given', () => {
  const files = [
    ...workflows.map(({ text }) => text),
    ...['.ci/run', '__test__/helpers/python.ts', 'benches/e2e/peers.mjs'].map((file) =>
      readFileSync(file, 'utf8'),
    ),
  ]
  const installs = files.flatMap((text) =>
    [...text.matchAll(/pip(?:"|'|\/bin\/pip)?,?\s+["']?install\b/g)].map(({ index }) =>
      text.slice(index - 200, index + 300),
    ),
  )
  expect(installs).toHaveLength(5)
  expect(installs.filter((text) => !text.includes('--require-hashes'))).toEqual([])
  const locks = [
    '.ci/tools.txt',
    '.github/zig.txt',
    ...readdirSync('__test__/requirements').map((name) => `__test__/requirements/${name}`),
  ]
  for (const file of locks) {
    const lines = readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => /^[a-z]/.test(line))
    expect(lines.length, file).toBeGreaterThan(0)
    expect(
      lines.filter((line) => !/^[\w-]+==[\w.]+ (; .+ )?\\$/.test(line)),
      file,
    ).toEqual([])
  }
})
