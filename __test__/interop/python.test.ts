import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ExternalE2EEKeyProvider } from '../../index'
import { LivekitServer } from '../helpers/livekit-server'
import { withEcho } from '../helpers/python'
import { carried, flowing, pattern, Scene, seen } from '../helpers/scene'

let server: LivekitServer
beforeAll(async () => {
  server = await LivekitServer.start()
})
afterAll(() => server.stop())

describe.each([null, 'correct horse'])("with LiveKit's Python SDK, passphrase: %s", (passphrase) => {
  it.each(['single', 'dual'] as const)(
    'frames go there and come back as they were, peer connections: %s',
    (peerConnections) =>
      Scene.with(server, async (scene) => {
        const keyProvider = new ExternalE2EEKeyProvider()
        if (passphrase !== null) await keyProvider.setKey(passphrase)
        const room = await scene.join('node', {
          connect: { peerConnections },
          ...(passphrase !== null && { room: { encryption: { keyProvider } } }),
        })
        const ping = await room.localParticipant.publishDataTrack({ name: 'ping' })
        const token = await scene.token('python')
        await withEcho({ url: server.url, token, passphrase }, async () => {
          const pong = await seen(room, 'pong')
          expect([ping.info.usesE2ee, pong.info.usesE2ee]).toEqual([passphrase !== null, passphrase !== null])
          const stream = pong.subscribe()
          await flowing(ping, stream)
          for (const size of [1, 256, 15_900, 16_100, 100_000]) {
            for (const userTimestamp of [BigInt(size), undefined]) {
              expect(await carried(ping, stream, { payload: pattern(size), userTimestamp })).toBe(true)
            }
          }
        })
      }),
  )
})
