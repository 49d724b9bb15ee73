/** The parts of `datatrack token`, `send`, `receive`, `rpc` and `completion` that need no server. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TokenVerifier } from 'livekit-server-sdk'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createFile, safeName } from '../../src/cli/received-file'
import { runHere } from '../helpers/cli-here'

describe('datatrack token create', () => {
  const key = ['--api-key', 'key', '--api-secret', 'hush-hush-hush']
  const verifier = new TokenVerifier('key', 'hush-hush-hush')

  test('prints a token that livekit-server-sdk accepts, with what was asked for', async () => {
    const options = ['--name', 'Robot 7', '--metadata', 'm', '-a', 'x=1', '-a', 'y=a=b', '--valid-for', '15m']
    const { stdout, stderr, code } = await runHere([
      ...['token', 'create', ...key, '--room', 'lab', '--identity', 'robot'],
      ...options,
    ])
    expect([code, stderr]).toEqual([undefined, ''])
    const claims = await verifier.verify(stdout.trim())
    expect(claims).toMatchObject({
      sub: 'robot',
      name: 'Robot 7',
      metadata: 'm',
      attributes: { x: '1', y: 'a=b' },
    })
    expect(claims.video).toEqual({
      ...{ roomJoin: true, room: 'lab', canPublish: true, canPublishData: true, canSubscribe: true },
    })
    expect(Number(claims.exp) - Number(claims.nbf)).toBe(900)
  })

  test('takes grants away, and adds others', async () => {
    const options = ['--no-publish', '--no-subscribe', '--hidden', '--allow-update-metadata']
    const { stdout } = await runHere(['token', 'create', ...key, '--room', 'r', '-i', 'spy', ...options])
    expect((await verifier.verify(stdout.trim())).video).toEqual({
      ...{ roomJoin: true, room: 'r', canPublish: false, canPublishData: false, canSubscribe: false },
      ...{ canUpdateOwnMetadata: true, hidden: true },
    })
  })

  test('says as JSON when the token ends', async () => {
    const { stdout } = await runHere(['token', 'create', '--dev', '--room', 'r', '-i', 'robot', '--json'])
    const said = JSON.parse(stdout) as Record<string, string>
    const claims = await new TokenVerifier('devkey', 'secret').verify(said['token']!)
    expect(said).toMatchObject({ room: 'r', identity: 'robot' })
    expect(Math.abs(Date.parse(said['expiresAt']!) / 1000 - Number(claims.exp))).toBeLessThanOrEqual(1)
  })

  test.each<[string, string[], RegExp]>([
    ['no key', ['--room', 'r', '-i', 'x'], /No API key is given/],
    ['no room', [...key, '-i', 'x'], /No room is named/],
    ['no identity', [...key, '--room', 'r'], /No participant is named/],
    ['a duration without a unit', [...key, '--room', 'r', '-i', 'x', '--valid-for', '15'], /s, m, h or d/],
    ['an attribute without a value', [...key, '--room', 'r', '-i', 'x', '-a', 'x'], /<key>=<value>/],
  ])('%s is told in one line, and is exit code 2', async (_, args, message) => {
    const { code, stdout, stderr } = await runHere(['token', 'create', ...args])
    expect(stderr).toMatch(message)
    expect(stderr).toMatch(/^datatrack: [^\n]+\n$/)
    expect([code, stdout]).toEqual([2, ''])
  })
})

describe('files of datatrack receive', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'datatrack-receive-'))
  })
  afterEach(() => {
    rmSync(folder, { recursive: true })
  })

  test.each([
    ['../../etc/passwd', 'passwd'],
    ['..\\..\\boot.ini', 'boot.ini'],
    ['/etc/passwd', 'passwd'],
    ['.bashrc', 'bashrc'],
    ['..', 'unnamed'],
    ['', 'unnamed'],
    ['a/', 'unnamed'],
    ['con\u0000trol\u001b[2J.txt', 'con_trol__2J.txt'],
    ['Karte von Zürich.png', 'Karte von Zürich.png'],
    ['x'.repeat(500), 'x'.repeat(100)],
  ])('the name %j becomes %j', (name, safe) => {
    expect(safeName(name)).toBe(safe)
  })

  test('a file that exists is never replaced', async () => {
    writeFileSync(join(folder, 'map.png'), 'mine')
    for (const content of ['one', 'two']) {
      const { file } = await createFile(folder, 'map.png')
      await file.writeFile(content)
      await file.close()
    }
    const content = (name: string): string => readFileSync(join(folder, name), 'utf8')
    expect(readdirSync(folder).sort().map(content)).toEqual(['one', 'two', 'mine'])
  })
})

describe('datatrack completion', () => {
  const complete = async (...words: string[]): Promise<string[]> => {
    const { stdout } = await runHere(['complete', '--', ...words])
    return stdout.split('\n').filter((line) => line !== '')
  }

  test('commands, at each level; hidden ones are not among them', async () => {
    expect(await complete('')).toEqual(expect.arrayContaining(['pub', 'sub', 'token', 'help']))
    expect(await complete('')).not.toEqual(expect.arrayContaining(['bench-worker']))
    expect(await complete('to')).toEqual(['token'])
    expect(await complete('rpc', '')).toEqual(['call', 'serve', 'help'])
  })

  test('options of the command, and values where there is a choice', async () => {
    expect(await complete('pub', '--sch')).toEqual(['--schema', '--schema-encoding'])
    expect(await complete('token', 'create', '--ident')).toEqual(['--identity'])
    const transports = await complete('sub', '--room', 'lab', '--ice-transports', '')
    expect(transports).toEqual(['all', 'udp', 'tcp', 'relay'])
    expect(await complete('sub', '--ice-transports', 'u')).toEqual(['udp'])
  })

  test('nothing for a value that can be anything, and behind --', async () => {
    expect(await complete('pub', '--file', '')).toEqual([])
    expect(await complete('pub', '--name', 'x', '--', '')).toEqual([])
  })

  test.each(['bash', 'zsh', 'fish'])('there is a script for %s', async (shell) => {
    const { stdout, code } = await runHere(['completion', shell])
    expect(code).toBe(undefined)
    expect(stdout).toContain('datatrack complete -- ')
  })
})
