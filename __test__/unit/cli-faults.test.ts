/** What the command says when files, pipes and servers are not what they should be. No server is needed for it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, test } from 'vitest'
import { layOutWithin } from '../../src/cli/table'
import { withoutTokens } from '../../src/cli/output'
import { cliMain, runCli } from '../helpers/cli'

/** Runs it with one of its streams on a file or folder. */
async function runOn(
  stream: 'stdin' | 'stdout',
  path: string,
  args: readonly string[],
): Promise<{ code: number | null; stderr: string }> {
  const file = openSync(path, stream === 'stdin' ? 'r' : 'w')
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('LIVEKIT_'))
  const child = spawn(process.execPath, [cliMain, ...args], {
    env: Object.fromEntries(inherited),
    stdio: [stream === 'stdin' ? file : 'ignore', stream === 'stdout' ? file : 'ignore', 'pipe'],
  })
  closeSync(file)
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stderr }
}

/** A server that takes connections and counts them, and its URL. */
async function counting(use: (url: string, connections: () => number) => Promise<void>): Promise<void> {
  let connections = 0
  const server = createServer((socket) => {
    connections += 1
    socket.destroy()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await use(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, () => connections)
  } finally {
    server.close()
  }
}

const credentials = ['--api-key', 'key', '--api-secret', 'secret', '--room', 'lab']
const unreachable = ['--url', 'ws://127.0.0.1:1', '--api-key', 'key', '--api-secret', 'secret']

describe.skipIf(!existsSync('/dev/full'))('standard output that is full', () => {
  test.each([[['--help']], [['doctor']], [['demo', '--seconds', '1', '--json']]])(
    'ends %j in one line with exit code 1',
    async (args) => {
      expect(await runOn('stdout', '/dev/full', args)).toEqual({
        code: 1,
        stderr: 'datatrack: standard output cannot be written (ENOSPC)\n',
      })
    },
  )
})

it('a source that is a folder or missing, and a target that cannot be written, are reported before joining a room', () =>
  counting(async (url, connections) => {
    const args = ['--name', 'x', '--quiet', '--url', url, ...credentials]
    const none = join(tmpdir(), 'no', 'such', 'file')
    const folder = await runOn('stdin', tmpdir(), ['pub', ...args])
    expect(folder).toEqual({ code: 1, stderr: 'datatrack: EISDIR: standard input is a directory\n' })
    const named = await runCli(['pub', '--file', tmpdir(), ...args])
    expect([named.code, named.stderr]).toEqual([1, expect.stringMatching(/^datatrack: EISDIR: [^\n]*\n$/)])
    const missing = await runCli(['pub', '--file', none, ...args])
    expect([missing.code, missing.stderr]).toEqual([
      1,
      expect.stringMatching(/^datatrack: ENOENT: [^\n]*\n$/),
    ])
    const output = await runCli(['sub', '--output', none, ...args])
    expect([output.code, output.stderr]).toEqual([1, expect.stringMatching(/^datatrack: ENOENT: [^\n]*\n$/)])
    expect(connections()).toBe(0)
    // The same command line with something to read gets as far as the server.
    await runCli(['pub', ...args])
    expect(connections()).toBeGreaterThan(0)
  }))

it('ls reports why the server cannot be asked', async () => {
  const { code, stderr } = await runCli(['ls', ...unreachable])
  expect([code, stderr]).toEqual([
    1,
    'datatrack: the rooms cannot be listed: the server cannot be reached: ECONNREFUSED\n',
  ])
})

it('doctor without a server does not claim that data tracks work', async () => {
  const { code, stdout } = await runCli(['doctor'])
  expect(code).toBe(0)
  expect(stdout).toMatch(/\n\nNothing fails\. Whether data tracks work was not tried: [^\n]+\n$/)
  const { stdout: lines } = await runCli(['doctor', '--json'])
  expect(JSON.parse(lines.trim().split('\n').at(-1) ?? '')).toEqual({ verdict: 'ok', dataSeen: false })
})

it('tables keep their width by shrinking the widest columns', () => {
  const headings = ['participant', 'track', 'encoding']
  const rows = [['a'.repeat(60), 'b'.repeat(40), 'json']]
  const lines = layOutWithin(headings, rows, 80)
  expect(lines.map((line) => line.length)).toEqual([80, 80, expect.any(Number)])
  expect(lines[2]).toMatch(/^a{10,}… {2}b{10,}… {6}json$|^a{10,}… {2}b{10,}… {2}json$/)
  // Nothing is cut that fits, and no column vanishes.
  expect(layOutWithin(headings, [['a', 'b', 'json']], 80).join('')).not.toContain('…')
  expect(layOutWithin(headings, rows, 10).at(-1)).toMatch(/^a{7}… {2}b{7}… {2}json$/)
})

it('an error message does not contain what looks like a token', () => {
  expect(withoutTokens('invalid token: eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3OTU3.x-_1, error: no')).toBe(
    'invalid token: …, error: no',
  )
})
