import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { DataTrackE2eeError, DataTrackSubscribeError, ExternalE2EEKeyProvider, RoomEvent } from '../../index'
import type { LocalDataTrack, Room } from '../../index'
import { rejection } from '../helpers/rooms'
import { carried, event, flowing, lossesOf, pattern, publish, Scene, sum, ONE_PACKET } from '../helpers/scene'
import { withServer } from '../helpers/with-server'

const server = withServer()

const inScene = (use: (scene: Scene) => Promise<void>) => () => Scene.with(server, use)

/** Joins with this key provider. Without one, the room has no encryption. */
function join(scene: Scene, identity: string, keyProvider?: ExternalE2EEKeyProvider): Promise<Room> {
  return scene.join(identity, keyProvider === undefined ? {} : { room: { encryption: { keyProvider } } })
}

async function passphrase(text: string): Promise<ExternalE2EEKeyProvider> {
  const keyProvider = new ExternalE2EEKeyProvider()
  await keyProvider.setKey(text)
  return keyProvider
}

/** Pushes until `enough` is settled. */
async function pushUntil(local: LocalDataTrack, enough: Promise<unknown>): Promise<void> {
  const done = new AbortController()
  void enough.then(() => done.abort())
  while (!done.signal.aborted) {
    local.tryPush(pattern(100))
    await delay(10)
  }
}

const sizes = [0, 1, 256, 15_900, 16_100, 200_000]

describe('encryption through a server', () => {
  it(
    'carries frames of all sizes with a shared passphrase',
    inScene(async (scene) => {
      const alice = await join(scene, 'alice', await passphrase('correct horse'))
      const bob = await join(scene, 'bob', await passphrase('correct horse'))
      const { local, remote } = await publish(alice, bob)
      expect([local.info.usesE2ee, remote.info.usesE2ee]).toEqual([true, true])
      const stream = remote.subscribe()
      await flowing(local, stream)
      let losses = 0
      for (const size of sizes) {
        const frame = { payload: pattern(size), userTimestamp: BigInt(size) }
        losses += await lossesOf({ servers: [server], local, to: bob, remote, stream }, frame)
      }
      expect(sum(remote.stats().dropped)).toBe(losses)
    }),
  )

  it(
    'carries frames in both directions with a key for each participant',
    inScene(async (scene) => {
      const provider = async () => {
        const keyProvider = new ExternalE2EEKeyProvider({ sharedKey: false })
        for (const participantIdentity of ['alice', 'bob']) {
          await keyProvider.setKey(`key of ${participantIdentity}`, { participantIdentity })
        }
        return keyProvider
      }
      const alice = await join(scene, 'alice', await provider())
      const bob = await join(scene, 'bob', await provider())
      for (const [from, to] of [
        [alice, bob],
        [bob, alice],
      ] as const) {
        const { local, remote } = await publish(from, to)
        const stream = remote.subscribe()
        await flowing(local, stream)
        for (const size of sizes) {
          const frame = { payload: pattern(size), userTimestamp: 1n }
          await lossesOf({ servers: [server], local, to, remote, stream }, frame)
        }
      }
    }),
  )

  it(
    'delivers no frame with another key, counts and reports the failures, and works once the key is right',
    inScene(async (scene) => {
      const keys = await passphrase('wrong')
      const alice = await join(scene, 'alice', await passphrase('right'))
      const bob = await join(scene, 'bob', keys)
      const { local, remote } = await publish(alice, bob)
      const stream = remote.subscribe()
      const failed = event(bob, RoomEvent.EncryptionError)
      await pushUntil(local, failed)
      const [error, participant] = await failed
      expect(error).toBeInstanceOf(DataTrackE2eeError)
      expect([error.reason, error.participantIdentity, participant?.identity]).toEqual([
        'decryptionFailed',
        'alice',
        'alice',
      ])
      expect(error.count).toBeGreaterThan(0)
      expect(remote.stats().dropped.decryptionFailed).toBeGreaterThan(0)
      expect(stream.stats()).toMatchObject({ received: 0, delivered: 0, buffered: 0 })
      await keys.setKey('right')
      await flowing(local, stream)
      const others = remote.subscribe()
      await flowing(local, others)
      expect(await carried(local, others, { payload: pattern(ONE_PACKET), userTimestamp: 2n })).toBe(true)
    }),
  )

  it(
    'refuses encrypted tracks without keys, and unencrypted tracks in an encrypted room',
    inScene(async (scene) => {
      const alice = await join(scene, 'alice', await passphrase('right'))
      const bob = await join(scene, 'bob')
      const tracks = [await publish(alice, bob), await publish(bob, alice)]
      for (const [index, reason] of ['noDecryption', 'unencrypted'].entries()) {
        const error = await rejection(tracks[index]!.remote.subscribe().read())
        expect(error).toBeInstanceOf(DataTrackSubscribeError)
        expect(error.reason).toBe(reason)
      }
    }),
  )
})
