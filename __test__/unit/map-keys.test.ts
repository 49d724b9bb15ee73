/** Names that others choose may be those of members that every object has: they are names as any other. */
import {
  DataPacket,
  DataStream_Header,
  EncryptedPacketPayload,
  ParticipantInfo,
  SignalResponse,
} from '@livekit/protocol'
import { describe, expect, it } from 'vitest'
import { ExternalE2EEKeyProvider, RoomEvent } from '../../index'
import { entryOf, withAllKeys } from '../../src/base/map-keys'
import { nextBytes, nextText } from '../helpers/data-streams'
import { entries, membersOfObjects } from '../helpers/map-keys'
import { until, withPair } from '../helpers/rooms'
import { call, outcome } from '../helpers/rpc-rooms'
import { event } from '../helpers/scene'

const named = (value: (name: string) => string): Record<string, string> =>
  Object.fromEntries(membersOfObjects.map((name) => [name, value(name)]))

describe('attributes that have names of members of Object.prototype', () => {
  it('can be set, changed and removed', () =>
    withPair(async ({ alice, bob }) => {
      await until(() => bob.remoteParticipants.has('alice'))
      const bobsAlice = bob.remoteParticipants.get('alice')!
      for (const value of ['1', '2', '']) {
        const given = named(() => value)
        const heard = [alice, bob].map((room) => event(room, RoomEvent.ParticipantAttributesChanged))
        await alice.localParticipant.setAttributes(given)
        for (const [changed] of await Promise.all(heard)) expect(entries(changed)).toEqual(entries(given))
        const now = value === '' ? [] : entries(given)
        expect(entries(alice.localParticipant.attributes)).toEqual(now)
        expect(entries(bobsAlice.attributes)).toEqual(now)
      }
    }))

  it('are set again in a new session', () =>
    withPair(async ({ sfu, alice, bob }) => {
      const given = named((name) => `of ${name}`)
      await alice.localParticipant.setAttributes(given)
      await sfu.reconnect('alice', 'full')
      await until(() => Object.keys(bob.remoteParticipants.get('alice')?.attributes ?? {}).length > 0)
      expect(entries(bob.remoteParticipants.get('alice')!.attributes)).toEqual(entries(given))
    }))
})

describe.each(['plain', 'encrypted'])('data streams, %s', (how) => {
  const room = async () => {
    const keyProvider = new ExternalE2EEKeyProvider()
    await keyProvider.setKey('passphrase')
    return how === 'plain' ? {} : { encryption: { keyProvider } }
  }

  it('can have topics and attributes with names of members of Object.prototype', async () => {
    const joining = { alice: await room(), bob: await room() }
    await withPair(
      async ({ alice, bob }) => {
        const attributes = named((name) => `of ${name}`)
        for (const topic of membersOfObjects) {
          // One packet, and several.
          for (const size of [10, 100_000]) {
            const [text, bytes] = [nextText(bob, topic), nextBytes(bob, topic)]
            const options = { topic, attributes, compress: false }
            await alice.localParticipant.sendText('x'.repeat(size), options)
            await alice.localParticipant.sendBytes(new Uint8Array(size), options)
            expect(entries((await text).reader.info.attributes)).toEqual(entries(attributes))
            expect(entries((await bytes).reader.info.attributes)).toEqual(entries(attributes))
            expect((await (await text).reader.readAll()).length).toBe(size)
            expect((await (await bytes).reader.bytes()).length).toBe(size)
          }
        }
        expect(bob.dataStreamStats()).toMatchObject({ dropped: {}, open: 0 })
      },
      {},
      joining,
    )
  })
})

describe('methods and identities with names of members of Object.prototype', () => {
  it('can be called if they are registered, and are unknown if they are not', () =>
    withPair(async ({ sfu, alice }) => {
      for (const name of membersOfObjects) {
        const other = sfu.join(name)
        await until(() => alice.remoteParticipants.has(name))
        expect((await outcome(call(alice, name, name))).code).toBe(1400)
        other.registerRpcMethod(name, ({ payload }) => `${payload} by ${name}`)
        expect(await call(alice, name, name, 'called')).toBe(`called by ${name}`)
        await other.disconnect()
        await until(() => !alice.remoteParticipants.has(name))
      }
    }))
})

describe('a server’s message', () => {
  const attributes = { ...named((name) => `of ${name}`), other: '__proto__', '__proto__ ': 'x' }

  it('keeps entries with the key __proto__, and texts that equal the key', () => {
    const participant = new ParticipantInfo({ identity: '__proto__', name: 'a __proto__ b' })
    participant.attributes = attributes
    const participants = [participant, new ParticipantInfo({ identity: 'b' })]
    const message = { case: 'update', value: { participants } } as const
    const bytes = new SignalResponse({ message }).toBinary()
    const decoded = withAllKeys(SignalResponse, bytes, SignalResponse.fromBinary(bytes))
    const { participants: read } = decoded.message.value as { participants: ParticipantInfo[] }
    expect(read.map(({ identity, name }) => [identity, name])).toEqual([
      ['__proto__', 'a __proto__ b'],
      ['b', ''],
    ])
    expect(entries(read[0]!.attributes)).toEqual(entries(attributes))
    expect(entries(read[1]!.attributes)).toEqual([])
  })

  it('without such a key is not copied', () => {
    const packet = new DataPacket({ participantIdentity: 'alice' })
    expect(withAllKeys(DataPacket, packet.toBinary(), packet)).toBe(packet)
  })

  it('keeps bytes that equal the key', () => {
    const header = new DataStream_Header({ streamId: 's', inlineContent: Buffer.from('__proto__') })
    header.attributes = attributes
    const value = { case: 'streamHeader', value: header } as const
    const bytes = new EncryptedPacketPayload({ value }).toBinary()
    const { value: decoded } = withAllKeys(EncryptedPacketPayload, bytes, new EncryptedPacketPayload())
    const { inlineContent, attributes: read } = decoded.value as DataStream_Header
    expect(Buffer.from(inlineContent!).toString()).toBe('__proto__')
    expect(entries(read)).toEqual(entries(attributes))
  })
})

describe('the lookup of an entry', () => {
  it('does not find members of Object.prototype', () => {
    for (const name of membersOfObjects) expect(entryOf({}, name)).toBeUndefined()
    expect(
      entryOf(
        named(() => 'own'),
        '__proto__',
      ),
    ).toBe('own')
  })
})
