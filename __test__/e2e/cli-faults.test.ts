import { createServer, request } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect, it } from 'vitest'
import { RoomEvent } from '../../index'
import { runCli, startCli } from '../helpers/cli'
import { event, publish, Scene } from '../helpers/scene'
import { withServer } from '../helpers/with-server'

const server = withServer()

function withKey(room?: string): NodeJS.ProcessEnv {
  const { apiKey, apiSecret } = server.key
  return {
    LIVEKIT_URL: server.url,
    LIVEKIT_API_KEY: apiKey,
    LIVEKIT_API_SECRET: apiSecret,
    LIVEKIT_ROOM: room,
  }
}

it('pub sends a short input completely if a subscriber waits for it', () =>
  Scene.with(server, async (scene) => {
    const watcher = await scene.join('watcher')
    const there = event(watcher, RoomEvent.ParticipantConnected)
    const sub = startCli(['sub', '--name', 'log', '--once', '--quiet'], withKey(scene.name))
    await there
    // The subscriber has that long to subscribe after the publication. A busy machine may need more than the default.
    const pub = startCli(['pub', '--name', 'log', '--quiet', '--settle', '10'], withKey(scene.name))
    pub.child.stdin.end('one\ntwo\nthree\n')
    expect((await pub.ending).code).toBe(0)
    const { code, stdout } = await sub.ending
    expect([code, stdout]).toEqual([0, 'one\ntwo\nthree\n'])
  }))

it('ls of a missing room reports that, and does not create the room', async () => {
  const name = `none-${process.pid}`
  const { code, stdout, stderr } = await runCli(['ls'], withKey(name))
  expect([code, stdout, stderr]).toEqual([3, '', `There is no room ${name}.\n`])
  const watched = await runCli(['ls', '--watch', '--seconds', '0.7'], withKey(name))
  expect([watched.code, watched.stdout]).toEqual([3, ''])
  expect(await server.admin.listRooms([name])).toEqual([])
})

it('ls does not print a token that the server refuses', async () => {
  const { code, stdout, stderr } = await runCli(['ls'], {
    ...withKey(),
    LIVEKIT_API_SECRET: 'wrong-'.repeat(8),
  })
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr).toMatch(
    /^datatrack: the rooms cannot be listed: HTTP status 401, [^\n]*invalid token: …[^\n]*\n$/,
  )
  expect(stderr).not.toContain('eyJ')
})

it('tables are at most 80 columns wide', () =>
  Scene.with(server, async (scene) => {
    const alice = await scene.join(`alice-${'x'.repeat(60)}`)
    const bob = await scene.join('bob')
    await publish(alice, bob, {
      name: 'a-track-of-a-long-name-'.repeat(4),
      frameEncoding: 'json',
      schema: { name: 'a.schema.of.a.long.name', encoding: 'jsonschema' },
    })
    for (const env of [withKey(), withKey(scene.name)]) {
      const { stdout } = await runCli(['ls'], env)
      const widths = stdout.split('\n').map((line) => line.length)
      expect(Math.max(...widths)).toBeLessThanOrEqual(80)
    }
    expect((await runCli(['ls'], withKey(scene.name))).stdout).toMatch(
      /^alice-x+… {2}a-track-of[^ ]*… +json .* no$/m,
    )
  }))

it('a URL with a path is used with its path', () =>
  Scene.with(server, async (scene) => {
    await scene.join('alice')
    const front = createServer((incoming, outgoing) => {
      const { url = '', method, headers } = incoming
      if (!url.startsWith('/behind/here/')) {
        outgoing.writeHead(404).end()
        return
      }
      const onward = request(
        { host: '127.0.0.1', port: server.port, path: url.slice('/behind/here'.length), method, headers },
        (answer) => {
          outgoing.writeHead(answer.statusCode ?? 0, answer.headers)
          answer.pipe(outgoing)
        },
      )
      incoming.pipe(onward)
    }).listen(0, '127.0.0.1')
    await once(front, 'listening')
    const { port } = front.address() as AddressInfo
    const url = `ws://127.0.0.1:${port}/behind/here/`
    const { code, stdout } = await runCli(['ls'], { ...withKey(), LIVEKIT_URL: url })
    front.close()
    expect(code).toBe(0)
    expect(stdout).toContain(scene.name)
  }))
