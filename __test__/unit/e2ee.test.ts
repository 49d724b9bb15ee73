import { describe, expect, it } from 'vitest'
import {
  DataTrackE2eeError,
  DataTrackPublishError,
  DataTrackSubscribeError,
  ExternalE2EEKeyProvider,
  LocalDataTrackManager,
  RemoteDataTrackManager,
  RoomEvent,
} from '../../index'
import type { EncryptionOptions, KeyProviderOptions, Room, Loopback } from '../../index'
import { publish, rejection, subscribe, take, thrown, turn, until, withPair } from '../helpers/rooms'

const secret = new Uint8Array([1, 2, 3, 4, 5])

/** A provider with one raw key; HKDF, for its speed. */
async function provider(key: number, options: KeyProviderOptions = {}): Promise<ExternalE2EEKeyProvider> {
  const keyProvider = new ExternalE2EEKeyProvider({ keyDerivation: 'HKDF', ...options })
  if (options.sharedKey !== false) await keyProvider.setKey(raw(key))
  return keyProvider
}

const raw = (key: number) => new Uint8Array(16).fill(key)

async function withEncryptedPair(
  use: (pair: { sfu: Loopback; alice: Room; bob: Room }) => Promise<void>,
  alice: ExternalE2EEKeyProvider | undefined,
  bob: ExternalE2EEKeyProvider | undefined,
): Promise<void> {
  const options = (keyProvider: ExternalE2EEKeyProvider | undefined) =>
    keyProvider === undefined ? {} : { encryption: { keyProvider } }
  await withPair(use, {}, { alice: options(alice), bob: options(bob) })
}

/** The first error of encryption that a room tells. */
function encryptionError(room: Room): Promise<[DataTrackE2eeError, string | undefined]> {
  return new Promise((resolve) => {
    room.once(RoomEvent.EncryptionError, (error, participant) => resolve([error, participant?.identity]))
  })
}

describe('the built-in encryption', () => {
  it('carries frames of all sizes with a passphrase, in both directions', async () => {
    const keyProvider = new ExternalE2EEKeyProvider()
    await keyProvider.setKey('a passphrase')
    await withEncryptedPair(
      async (pair) => {
        for (const side of [pair, { sfu: pair.sfu, alice: pair.bob, bob: pair.alice }]) {
          const local = await side.alice.localParticipant.publishDataTrack({ name: 'track' })
          const { identity } = side.alice.localParticipant
          const remote = await side.bob.remoteParticipants.get(identity)!.dataTracks.getDeferred('track')
          expect([local.info.usesE2ee, remote.info.usesE2ee]).toEqual([true, true])
          const stream = await subscribe(remote)
          for (const length of [0, 5, 15_944, 200_000]) {
            const payload = new Uint8Array(length).fill(length)
            await local.push({ payload, userTimestamp: 1n })
            const [frame] = await take(stream, 1)
            expect(Buffer.compare(frame.payload, payload)).toBe(0)
            expect(frame.userTimestamp).toBe(1n)
          }
        }
      },
      keyProvider,
      keyProvider,
    )
  })

  it('never sends a frame in the clear that was pushed for encryption', async () => {
    const manager = new LocalDataTrackManager({ encryption: { keyProvider: await provider(1) } })
    const publishing = manager.publishDataTrack({ name: 'a' })
    manager.handlePublishResponse({ sid: 'DTR_a', pubHandle: 1, name: 'a', usesE2ee: true })
    const track = await publishing
    await manager.ready
    track.tryPush(new Uint8Array(100).fill(0x55))
    const [packet] = [...manager.packets()]
    expect(packet!.byteLength).toBe(32 + 100 + 16)
    expect(Buffer.from(packet!).includes(Buffer.alloc(8, 0x55))).toBe(false)
    manager.close()
  })

  it('fails the publication if the SFU answers without encryption, or with encryption that was not requested', async () => {
    for (const asked of [true, false]) {
      const encryption: { encryption?: EncryptionOptions } = asked
        ? { encryption: { keyProvider: await provider(1) } }
        : {}
      const manager = new LocalDataTrackManager(encryption)
      const publishing = manager.publishDataTrack({ name: 'a' })
      manager.handlePublishResponse({ sid: 'DTR_a', pubHandle: 1, name: 'a', usesE2ee: !asked })
      const error = await rejection(publishing)
      expect(error).toBeInstanceOf(DataTrackPublishError)
      expect(error.reason).toBe('encryptionMismatch')
      expect([...manager.packets()]).toEqual([])
      manager.close()
    }
  })

  it('refuses unencrypted tracks of other participants, unless the room allows them', async () => {
    await withEncryptedPair(
      async (pair) => {
        const { local, remote } = await publish(pair)
        const error = await rejection(remote.subscribe().read())
        expect(error).toBeInstanceOf(DataTrackSubscribeError)
        expect(error.reason).toBe('unencrypted')
        const stream = await subscribe(remote, { allowUnencrypted: true })
        local.tryPush(secret)
        expect((await take(stream, 1))[0].payload).toEqual(secret)
      },
      undefined,
      await provider(1),
    )
  })

  it('never delivers ciphertext: a room without keys cannot subscribe to an encrypted track', async () => {
    await withEncryptedPair(
      async (pair) => {
        const { remote } = await publish(pair)
        expect((await rejection(remote.subscribe().read())).reason).toBe('noDecryption')
      },
      await provider(1),
      undefined,
    )
  })

  it('reports by an event and counters that the keys differ', async () => {
    await withEncryptedPair(
      async (pair) => {
        const { local, remote } = await publish(pair)
        const stream = await subscribe(remote)
        const told = encryptionError(pair.bob)
        await local.push(secret)
        const [error, identity] = await told
        expect(error).toBeInstanceOf(DataTrackE2eeError)
        expect([error.reason, error.participantIdentity, identity]).toEqual([
          'decryptionFailed',
          'alice',
          'alice',
        ])
        expect(error.count).toBeGreaterThan(0)
        expect(remote.stats().dropped.decryptionFailed).toBe(1)
        expect(stream.stats().received).toBe(0)
      },
      await provider(1),
      await provider(2),
    )
  })

  it('refuses frames while there is no key, and accepts them once there is one', async () => {
    const keyProvider = new ExternalE2EEKeyProvider({ keyDerivation: 'HKDF' })
    await withEncryptedPair(
      async (pair) => {
        const { local, remote } = await publish(pair)
        const stream = await subscribe(remote)
        expect(thrown(() => local.tryPush(secret)).reason).toBe('noKey')
        await keyProvider.setKey(raw(1))
        local.tryPush(secret)
        expect((await take(stream, 1))[0].payload).toEqual(secret)
      },
      keyProvider,
      keyProvider,
    )
  })

  it('changes the key without a loss: all participants set it at a new index first, then the sender uses it', async () => {
    const [alices, bobs] = [await provider(1), await provider(1)]
    await withEncryptedPair(
      async (pair) => {
        const { local, remote } = await publish(pair)
        const stream = await subscribe(remote)
        const round = async (text: string) => {
          await local.push(Buffer.from(text))
          expect(Buffer.from((await take(stream, 1))[0].payload).toString()).toBe(text)
        }
        await round('old')
        for (const keyProvider of [bobs, alices]) {
          await keyProvider.setKey(raw(2), { keyIndex: 5, updateCurrentKeyIndex: false })
        }
        await round('still old')
        alices.setKeyIndex(5)
        await round('new')
        // The old key is of no use any more.
        await bobs.setKey(raw(9), { keyIndex: 0, updateCurrentKeyIndex: false })
        await round('still new')
      },
      alices,
      bobs,
    )
  })

  it('ratchets keys when the application ratchets them on both sides', async () => {
    const keyProvider = await provider(1)
    await withEncryptedPair(
      async (pair) => {
        const { local, remote } = await publish(pair)
        const stream = await subscribe(remote)
        await keyProvider.ratchetKey()
        local.tryPush(secret)
        expect((await take(stream, 1))[0].payload).toEqual(secret)
        // Who comes later gets the ratcheted key, too.
        const carol = pair.sfu.join('carol', { encryption: { keyProvider } })
        const late = await subscribe(carol.remoteParticipants.get('alice')!.dataTracks.get('track')!)
        local.tryPush(secret)
        expect((await take(late, 1))[0].payload).toEqual(secret)
      },
      keyProvider,
      keyProvider,
    )
  })

  it('uses a key for each participant if there is no shared key', async () => {
    const both = async () => {
      const keyProvider = await provider(0, { sharedKey: false })
      await keyProvider.setKey(raw(1), { participantIdentity: 'alice' })
      await keyProvider.setKey(raw(2), { participantIdentity: 'bob' })
      return keyProvider
    }
    await withEncryptedPair(
      async (pair) => {
        const { local, remote } = await publish(pair)
        const stream = await subscribe(remote)
        await turn()
        await local.push(secret)
        expect((await take(stream, 1))[0].payload).toEqual(secret)
      },
      await both(),
      await both(),
    )
  })

  it('rejects invalid keys and options', async () => {
    const shared = new ExternalE2EEKeyProvider()
    expect((await rejection(shared.setKey(''))).code).toBe('ERR_OUT_OF_RANGE')
    expect((await rejection(shared.setKey('a', { keyIndex: 16 }))).message).toContain('<= 15')
    expect((await rejection(shared.setKey('a', { participantIdentity: 'alice' }))).code).toBe(
      'ERR_INVALID_ARG_TYPE',
    )
    // Browsers and native SDKs derive raw keys differently, so there is no default.
    const rawKey = await rejection(shared.setKey(raw(1)))
    expect([rawKey.code, rawKey.message.includes("'PBKDF2' or 'HKDF'")]).toEqual([
      'ERR_INVALID_ARG_TYPE',
      true,
    ])
    const own = new ExternalE2EEKeyProvider({ sharedKey: false })
    expect((await rejection(own.setKey('a'))).message).toContain('participantIdentity')
    expect(thrown(() => new ExternalE2EEKeyProvider({ keyDerivation: 'MD5' as 'HKDF' })).message).toContain(
      'HKDF',
    )
    expect(new ExternalE2EEKeyProvider().getOptions()).toEqual({
      sharedKey: true,
      keyDerivation: 'PBKDF2',
      ratchetWindowSize: 0,
      failureTolerance: -1,
    })
    expect(
      thrown(() => new LocalDataTrackManager({ encryption: {} as EncryptionOptions })).message,
    ).toContain('options.encryption.keyProvider')
    // A key does not show up in a message.
    const message: string = thrown(() => new LocalDataTrackManager({ encryption: secret as any })).message
    expect(message).not.toMatch(/1, 2, 3/)
  })

  it('works between two managers, and drops frames without encryption', async () => {
    const keyProvider = await provider(1)
    const remote = new RemoteDataTrackManager({ encryption: { keyProvider } })
    const local = new LocalDataTrackManager()
    const publishing = local.publishDataTrack({ name: 'a' })
    local.handlePublishResponse({ sid: 'DTR_a', pubHandle: 1, name: 'a', usesE2ee: false })
    const track = await publishing
    // The SFU lies: it says that the track is encrypted.
    remote.handlePublicationUpdate('alice', [{ sid: 'DTR_a', pubHandle: 1, name: 'a', usesE2ee: true }])
    const stream = remote.tracks[0]!.subscribe()
    remote.handleSubscriberHandles(new Map([[1, 'DTR_a']]))
    const told = new Promise<DataTrackE2eeError>((resolve) => remote.once('encryptionError', resolve))
    track.tryPush(secret)
    for (const packet of local.packets()) remote.handlePacket(packet)
    expect((await told).reason).toBe('unencrypted')
    expect(remote.tracks[0]!.stats().dropped.unencrypted).toBe(1)
    expect(stream.stats().received).toBe(0)
    local.close()
    remote.close()
    await until(() => true)
  })
})
