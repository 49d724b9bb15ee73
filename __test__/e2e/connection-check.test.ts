/** `ConnectionCheck` with a real server. */
import { expect, it } from 'vitest'
import { ConnectionCheck } from '../../index'
import { checkNames } from '../helpers/check-names'
import { Scene } from '../helpers/scene'
import { withServer } from '../helpers/with-server'

const server = withServer()

const inScene = (use: (scene: Scene) => Promise<void>) => () => Scene.with(server, use)
const statuses = (check: ConnectionCheck) => check.getResults().map(({ status }) => status)

it(
  'finds no fault with two participants, and reports each step',
  inScene(async (scene) => {
    const subscriberToken = await scene.token('bob')
    const check = new ConnectionCheck(server.url, await scene.token('alice'), { subscriberToken })
    const running: string[] = []
    check.on('checkUpdate', (_id, { name, status }) => {
      if (status === 'running') running.push(name)
    })
    await check.run()
    // The server names no relay.
    const expected = [...Array.from({ length: 7 }, () => 'success'), 'skipped', 'skipped', 'success']
    expect([statuses(check), check.isSuccess()]).toEqual([expected, true])
    expect(running).toEqual(checkNames)
    expect(check.getResults().at(-1)!.message).toContain('and back')
  }),
)

it(
  'says with one token, in terms of a program, how to see frames there and back',
  inScene(async (scene) => {
    const check = new ConnectionCheck(server.url, await scene.token('alice'))
    const { status, help } = (await check.run()).at(-1)!
    expect([status, help]).toEqual([
      'success',
      'Give the option subscriberToken to see frames there and back.',
    ])
  }),
)

it(
  'reports that the server refuses the token, without printing it',
  inScene(async (scene) => {
    const token = await scene.token('alice', { forged: true })
    const check = new ConnectionCheck(server.url, token)
    const results = await check.run()
    expect(statuses(check)).toEqual([
      ...['success', 'success', 'success', 'failed', ...Array.from({ length: 6 }, () => 'skipped')],
    ])
    expect(results[3]!.help).not.toBe('')
    expect(JSON.stringify(results)).not.toContain(token)
  }),
)
