/** The log of the Rust crates below a connection at the level `trace`. no-secrets.ts checks it for secrets. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { RoomEvent, setLogLevel } from '../../index'
import { said } from '../helpers/said'
import { event, flowing, publish, Scene } from '../helpers/scene'
import { secretsIn } from '../helpers/secrets'
import { SignalProxy } from '../helpers/signal-proxy'
import { withServer } from '../helpers/with-server'

const server = withServer()
let proxy: SignalProxy
beforeAll(async () => {
  // The proxy adds the credentials and addresses in the messages to the list of secrets.
  proxy = await SignalProxy.start(server.url)
  setLogLevel('trace')
})
afterAll(() => proxy.close())

it.each(['single', 'dual'] as const)(
  'ICE credentials are masked in the log, peer connections: %s',
  (peerConnections) =>
    Scene.with(server, async (scene) => {
      const options = { connect: { peerConnections }, url: proxy.url }
      const [alice, bob] = [await scene.join('alice', options), await scene.join('bob', options)]
      const { local, remote } = await publish(alice, bob)
      const stream = remote.subscribe()
      await flowing(local, stream)
      const back = Promise.all([event(alice, RoomEvent.Reconnected), event(bob, RoomEvent.Reconnected)])
      // The rooms are resumed with an ICE restart. str0m writes the new credentials into its log.
      for (const room of [alice, bob]) room.reconnectNow()
      await back
      await flowing(local, stream)
      const records = said.filter((text) => /^(trace|debug) (is|str0m)/.test(text))
      expect(records.some((text) => text.includes('username: …, message_integrity: …'))).toBe(true)
      expect(records.some((text) => text.includes('IceRestart(IceCreds { ufrag: …, pass: … })'))).toBe(true)
      expect(records.filter((text) => secretsIn(text).length > 0)).toEqual([])
    }),
)
