/** `npm run platforms` and what the documentation says of it leave no platform of package.json out. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { beforeAll, expect, it } from 'vitest'

interface Platform {
  readonly target: { readonly name: string }
  readonly package: string
}

const load = (file: string): Promise<unknown> => import(resolve('scripts/lib', file))
const read = (file: string): string => readFileSync(file, 'utf8')
let platforms: readonly Platform[]
let names: string[]

beforeAll(async () => {
  ;({ platforms } = (await load('platforms/platforms.mjs')) as { platforms: readonly Platform[] })
  names = platforms.map(({ target }) => target.name)
})

it('each package of a platform has a platform', async () => {
  const { targets } = (await load('platform.mjs')) as { targets: () => readonly { readonly name: string }[] }
  expect(targets().length).toBeGreaterThan(0)
  expect(platforms.map((platform) => platform.package)).toEqual(targets().map(({ name }) => name))
})

it('CONTRIBUTING.md says of each platform how it is built and run', () => {
  const [, list = ''] = /^### Platforms\n([\s\S]*?)^The command needs/m.exec(read('CONTRIBUTING.md')) ?? []
  const described = [...list.matchAll(/^- \*\*(.+)\*\*/gm)].flatMap(([, each = '']) => each.split(', '))
  expect(described).toEqual(names)
})

it('CONTRIBUTING.md has what a run printed of each platform', () => {
  const [, table = ''] = /^```text\nplatform +built.*\n([\s\S]*?)^```/m.exec(read('CONTRIBUTING.md')) ?? []
  const printed = new Set([...table.matchAll(/^(\S+) /gm)].map(([, name]) => name))
  expect([...printed]).toEqual(names)
})

it('the workflow has a job for each platform that can be built by it', () => {
  const [, list = ''] = /^ +platform:\n((?: +- .*\n)+)/m.exec(read('.github/workflows/platforms.yml')) ?? []
  const jobs = [...list.matchAll(/- (.*)/g)].map(([, name]) => name)
  const built = platforms.filter((platform) => !('elsewhere' in platform)).map(({ target }) => target.name)
  expect(jobs).toEqual(built)
})

it('the README says of each package what was run on its platform', () => {
  const systems: Record<string, string> = { darwin: 'macOS', linux: 'Linux', win32: 'Windows' }
  const libraries: Record<string, string> = { gnu: ', glibc', musl: ', musl' }
  const [, rows = ''] = /^## Platforms\n([\s\S]*?)^## /m.exec(read('README.md')) ?? []
  const wanted = platforms.map((platform) => {
    const [system = '', cpu = '', abi = ''] = platform.package.split('-')
    return `${systems[system] ?? ''} ${cpu}${libraries[abi] ?? ''}`
  })
  const written = [...rows.matchAll(/^\| (\w+ \w+(?:, \w+)?) \|/gm)].map(([, name]) => name)
  expect(written.sort()).toEqual(wanted.sort())
})
