/** A session in which many things happen. no-secrets.ts checks all logs and errors of it. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { connect, ExternalE2EEKeyProvider, RoomEvent } from '../../index'
import type { Room } from '../../index'
import { rejection } from '../helpers/rooms'
import { event, flowing, next, publish, Scene } from '../helpers/scene'
import { learnFromSdp, learnSecret, secretsIn } from '../helpers/secrets'
import { SignalProxy } from '../helpers/signal-proxy'
import { withServer } from '../helpers/with-server'

const PASSPHRASE = 'a passphrase that nobody may read'
const WRONG_PASSPHRASE = 'another one that nobody may read'
const PAYLOAD = 'a payload that nobody may read'

const server = withServer()
let proxy: SignalProxy
beforeAll(async () => {
  proxy = await SignalProxy.start(server.url)
  learnSecret('passphrase', PASSPHRASE)
  learnSecret('passphrase', WRONG_PASSPHRASE)
  learnSecret('payload', PAYLOAD)
})
afterAll(() => proxy.close())

it('the check recognizes secrets in texts', () => {
  learnFromSdp(
    'a=ice-ufrag:Zk4x\r\na=ice-pwd:0123456789abcdef\r\na=candidate:1 1 udp 2130706431 10.1.2.3 4567 typ host\r\n',
  )
  for (const text of [
    `x ${PASSPHRASE} x`,
    'user Zk4x said',
    'with 0123456789abcdef',
    'to 10.1.2.3:4567',
    'to 192.168.0.1:80',
    'to [fe80::1]:80',
    'authorization: Bearer x',
    'eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3OTU3',
  ]) {
    expect(secretsIn(text), text).not.toEqual([])
  }
  expect(secretsIn('the server at 127.0.0.1 cannot be reached: ECONNREFUSED')).toEqual([])
})

it.each(['single', 'dual'] as const)('a session logs no secrets, peer connections: %s', (peerConnections) =>
  Scene.with(server, async (scene) => {
    const join = async (identity: string, passphrase: string): Promise<Room> => {
      const keyProvider = new ExternalE2EEKeyProvider()
      await keyProvider.setKey(passphrase)
      return scene.join(identity, {
        room: { encryption: { keyProvider } },
        connect: { peerConnections },
        url: proxy.url,
      })
    }
    const [alice, bob] = [await join('alice', PASSPHRASE), await join('bob', PASSPHRASE)]
    const { local, remote } = await publish(alice, bob)
    const stream = remote.subscribe()
    await flowing(local, stream)
    await local.push(Buffer.from(PAYLOAD))
    expect(Buffer.from((await next(stream)).payload).toString()).toBe(PAYLOAD)
    for (const lose of [() => proxy.cut(), () => proxy.sendAway('reconnect')]) {
      const back = Promise.all([event(alice, RoomEvent.Reconnected), event(bob, RoomEvent.Reconnected)])
      lose()
      await back
      await flowing(local, stream)
    }
    const eve = await join('eve', WRONG_PASSPHRASE)
    const failing = event(eve, RoomEvent.EncryptionError)
    for await (const track of eve.dataTracks({ name: 'track' })) {
      void track.subscribe().read()
      break
    }
    const timer = setInterval(() => local.tryPush(Buffer.from(PAYLOAD)), 20)
    expect((await failing)[0].reason).toBe('decryptionFailed')
    clearInterval(timer)
    expect((await rejection(alice.localParticipant.publishDataTrack({ name: 'track' }))).reason).toBe(
      'duplicateName',
    )
    for (const options of [{ forged: true }, { ttl: -60 }, { grant: { room: '' } }]) {
      const token = await scene.token('mallory', options)
      const refused = await rejection(connect(proxy.url, token, { peerConnections }))
      expect(refused.message).not.toContain(token)
    }
  }),
)
