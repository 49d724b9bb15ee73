/** Participants of another SDK: what is sent to them as soon as they are active, and what they do not say. */
import { beforeAll, expect, it } from 'vitest'
import { RoomEvent } from '../../index'
import { rejection } from '../helpers/rooms'
import { event, Scene } from '../helpers/scene'
import { withServer } from '../helpers/with-server'
import { sdks } from './peers/reliable-peer'

const VISITS = Number(process.env['DATATRACK_VISITS'] ?? 40)

const server = withServer()
beforeAll(() => {
  sdks.rtcNode.install()
}, 300_000)

it.each([sdks.rtcNode, sdks.chromium])(
  `${VISITS} participants of $name are each greeted when they become active`,
  (sdk) =>
    Scene.with(server, async (scene) => {
      const host = await scene.join('host')
      host.on(RoomEvent.ParticipantActive, ({ identity }) => {
        const to = { reliable: true, topic: 'greeting', destinationIdentities: [identity] }
        void host.localParticipant.publishData(Uint8Array.of(1), to)
      })
      const peer = await sdk.start({ url: server.url, token: await scene.token('peer'), passphrase: null })
      try {
        const identities = Array.from({ length: VISITS }, (_, index) => `visitor-${index}`)
        const tokens = await Promise.all(identities.map((identity) => scene.token(identity)))
        expect((await peer.visits(server.url, tokens)).greeted).toBe(VISITS)
      } finally {
        await peer.close()
      }
    }),
  300_000,
)

it.each([sdks.rtcNode, sdks.chromium])(
  'a participant of $name does not announce its subscriptions, so hasSubscribers stays undefined',
  (sdk) =>
    Scene.with(server, async (scene) => {
      const host = await scene.join('host')
      const track = await host.localParticipant.publishDataTrack({ name: 'track' })
      const came = event(host, RoomEvent.ParticipantConnected)
      expect(track.hasSubscribers).toBe(false)
      const peer = await sdk.start({ url: server.url, token: await scene.token('peer'), passphrase: null })
      try {
        const [participant] = await came
        await participant.waitUntilActive()
        // The question was refused before this call is answered.
        expect(await peer.call('host', 'node-datatrack/unknown')).toMatchObject({ code: 1400 })
        const echo = { destinationIdentity: 'peer', method: 'echo', payload: 'hello' }
        expect(await host.localParticipant.performRpc(echo)).toBe('hello')
        expect(track.hasSubscribers).toBeUndefined()
        // It refuses what it does not know, so that this takes no timeout.
        const asked = {
          destinationIdentity: 'peer',
          method: 'node-datatrack/latest',
          payload: '{"handle":1}',
        }
        expect((await rejection(host.localParticipant.performRpc(asked))).code).toBe(1400)
      } finally {
        await peer.close()
      }
    }),
  60_000,
)
