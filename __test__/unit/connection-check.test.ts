/** Checks of a connection for programs: their options, progress and failures, without a server. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ConnectionCheck } from '../../index'
import type { ConnectionCheckInfo } from '../../index'
import { checkNames } from '../helpers/check-names'
import { rejection, thrown } from '../helpers/rooms'

it('the texts of the checks name no option and no output of the command line, since programs show them, too', () => {
  const files = readdirSync('src/check').map((name) => join('src/check', name))
  for (const file of [...files, 'src/connection/claims.ts']) {
    const texts = readFileSync(file, 'utf8').replaceAll(/^ *(\/\*\*|\*|\/\/).*$/gm, '')
    expect([file, /.*(?:--[a-z]|datatrack doctor|\babove\b).*/.exec(texts)?.[0]]).toEqual([file, undefined])
  }
})

describe('a check', () => {
  it.each([
    [() => new ConnectionCheck('ftp://a', 't'), 'url'],
    [() => new ConnectionCheck('ws://a', 5 as never), '"token"'],
    [() => new ConnectionCheck('ws://a', ''), '"token.length"'],
    [() => new ConnectionCheck('ws://a', 't', 5 as never), '"options"'],
    [() => new ConnectionCheck('ws://a', 't', { timeout: 10 }), '"options.timeout"'],
    [() => new ConnectionCheck('ws://a', 't', { subscriberToken: 5 as never }), '"options.subscriberToken"'],
  ])('refuses wrong arguments', (make, name) => {
    expect(thrown(make).message).toContain(name)
  })

  it('of an unreachable server fails that step, skips the later ones, and reports each step', async () => {
    const check = new ConnectionCheck('ws://127.0.0.1:1', 'a.secret.token', { timeout: 500 })
    expect(check.getResults().map(({ name, status }) => [name, status])).toEqual(
      checkNames.map((name) => [name, 'idle']),
    )
    const told: string[] = []
    check.on('checkUpdate', (id, { name, status }) => told.push(`${id} ${name} ${status}`))
    const results = await check.run()
    expect(results.map(({ status }) => status)).toEqual([
      ...['success', 'success', 'failed'],
      ...Array.from({ length: 7 }, () => 'skipped'),
    ])
    expect(told.slice(0, 6)).toEqual([
      ...['0 binary running', '0 binary success', '1 address running', '1 address success'],
      ...['2 http running', '2 http failed'],
    ])
    expect(results[2]).toMatchObject({ message: expect.stringContaining('ECONNREFUSED') as unknown })
    expect([check.isSuccess(), check.getResults()]).toEqual([false, results])
    for (const { description } of results) expect(description).not.toBe('')
  })

  it('can be aborted between two steps and run again, but not run twice at once', async () => {
    const check = new ConnectionCheck('ws://127.0.0.1:1', 'a.b.c')
    const stop = new AbortController()
    check.once('checkUpdate', () => stop.abort('enough'))
    const first = check.run({ signal: stop.signal })
    expect((await rejection(check.run())).message).toContain('running already')
    expect(await rejection(first)).toBe('enough')
    expect(await rejection(check.run({ signal: stop.signal }))).toBe('enough')
    expect((await rejection(check.run({ signal: 5 as never }))).message).toContain('"options.signal"')
    const updates: ConnectionCheckInfo[] = []
    check.on('checkUpdate', (_id, info) => updates.push(info))
    await check.run()
    expect(updates.at(-1)).toMatchObject({ name: 'data', status: 'skipped' })
  })
})
