/** The declarations of the packed package, as TypeScript and the linters of packages see them. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { consumer, installed, remove, tarballs } from './consumer'

let folder: string
let tools: string
let tarball: string
let alias: string

beforeAll(() => {
  const packed = tarballs()
  tarball = packed.main
  alias = packed.alias
  folder = consumer(packed.main, packed.platforms)
  tools = installed('bundlers')
  for (const name of ['types.mts', 'types.cts']) {
    copyFileSync(resolve('__test__/package/fixtures/types.mts'), join(folder, name))
  }
})
afterAll(() => remove(folder))

function node(program: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(tools, program), ...args], {
    cwd: folder,
    encoding: 'utf8',
  })
  return status === 0 ? stdout : `exit code ${status}\n${stdout}${stderr}`
}

const [node20, newest] = ['@types/node', '@types/node-newest']

describe.each([
  ['5.6', 'Node 20, without lib: dom', 'typescript-5.6', node20, ['es2023']],
  ['5.6', 'Node 20, with lib: dom', 'typescript-5.6', node20, ['es2023', 'dom']],
  ['6', 'Node 20, without lib: dom', 'typescript', node20, ['es2023']],
  ['6', 'Node 20, with lib: dom', 'typescript', node20, ['es2023', 'dom']],
  ['6', 'the newest Node, without lib: dom', 'typescript', newest, ['es2024']],
  ['6', 'the newest Node, with lib: dom', 'typescript', newest, ['es2024', 'dom']],
])('TypeScript %s, %s', (version, title, compiler, types, lib) => {
  test('checks programs against the declarations, without skipLibCheck', () => {
    const project = join(folder, `${version} ${title}`.replace(/[^\w.]+/g, '-'))
    mkdirSync(join(project, 'types'), { recursive: true })
    symlinkSync(join(tools, types), join(project, 'types/node'))
    const compilerOptions = {
      ...{ strict: true, noEmit: true, module: 'nodenext', target: 'es2022', skipLibCheck: false },
      ...{ exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
      ...{ lib, types: ['node'], typeRoots: ['./types'] },
    }
    const files = ['../types.mts', '../types.cts']
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }))
    expect(node(`${compiler}/bin/tsc`, '-p', project)).toBe('')
  })
})

test('attw: each way of importing finds its declarations', () => {
  for (const file of [tarball, alias])
    expect(node('@arethetypeswrong/cli/dist/index.js', file, '--no-emoji')).toContain('No problems found')
})

test('publint: the package.json is right for all tools', () => {
  for (const file of [tarball, alias])
    expect(node('publint/src/cli.js', file, '--strict')).toContain('All good!')
})
