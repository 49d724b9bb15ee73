import { describe, expect, it } from 'vitest'
import { Room, SignalRequestError } from '../../index'
import { MAX_SCHEMA_BYTES } from '../../src/room/schemas'
import { rejection, turn, withPair } from '../helpers/rooms'

const pose = { name: 'acme.Pose', encoding: 'jsonschema' } as const
const definition = '{ "type": "object", "title": "Pose, über alles" }'

describe('a schema', () => {
  it('that one participant defines can be read by all, also by itself', async () => {
    await withPair(async ({ alice, bob }) => {
      await alice.localParticipant.defineSchema(pose, definition)
      const track = await alice.localParticipant.publishDataTrack({
        name: 'pose',
        frameEncoding: 'json',
        schema: pose,
      })
      expect(await bob.localParticipant.getSchema(track.info.schema!, 'alice')).toBe(definition)
      expect(await alice.localParticipant.getSchema(pose, 'alice')).toBe(definition)
    })
  })

  it('is identified by name and encoding', async () => {
    await withPair(async ({ alice, bob }) => {
      const names = [pose, { ...pose, encoding: 'custom:x' }, { ...pose, name: 'acme.Other' }] as const
      for (const [index, name] of names.entries()) {
        await alice.localParticipant.defineSchema(name, String(index))
      }
      for (const [index, name] of names.entries()) {
        expect(await bob.localParticipant.getSchema(name, 'alice')).toBe(String(index))
      }
    })
  })

  it('may be bytes, which are copied', async () => {
    await withPair(async ({ alice, bob }) => {
      const descriptor = Buffer.from([0xff, 0, 0x80])
      const schema = { name: 'acme.Scan', encoding: 'protobuf' } as const
      await alice.localParticipant.defineSchema(schema, descriptor)
      descriptor.fill(7)
      const got = await bob.localParticipant.getSchema(schema, 'alice', { bytes: true })
      expect(got).toEqual(Uint8Array.of(0xff, 0, 0x80))
      got.fill(9)
      expect(await bob.localParticipant.getSchema(schema, 'alice', { bytes: true })).toEqual(
        Uint8Array.of(0xff, 0, 0x80),
      )
      const error = await rejection(bob.localParticipant.getSchema(schema, 'alice'))
      expect(error).toBeInstanceOf(SignalRequestError)
      expect(error.reason).toBe('notText')
    })
  })

  it('can be redefined; defining the same one again works even if the server has no room for another', async () => {
    await withPair(async ({ alice, bob }) => {
      await alice.localParticipant.defineSchema(pose, 'first')
      await alice.localParticipant.defineSchema(pose, 'second')
      expect(await bob.localParticipant.getSchema(pose, 'alice')).toBe('second')
      const large = 'x'.repeat(51_200)
      await alice.localParticipant.defineSchema(pose, large)
      await alice.localParticipant.defineSchema(pose, large)
      const other = await rejection(alice.localParticipant.defineSchema(pose, 'y'.repeat(MAX_SCHEMA_BYTES)))
      expect(other.reason).toBe('limitExceeded')
      expect(await bob.localParticipant.getSchema(pose, 'alice')).toBe(large)
    })
  })

  it('is notFound if the participant has not defined it or is not in the room', async () => {
    await withPair(async ({ alice, bob }) => {
      await alice.localParticipant.defineSchema(pose, definition)
      for (const [schema, identity] of [
        [pose, 'bob'],
        [pose, 'nobody'],
        [{ ...pose, name: 'acme.Unknown' }, 'alice'],
      ] as const) {
        expect((await rejection(bob.localParticipant.getSchema(schema, identity))).reason).toBe('notFound')
      }
    })
  })

  it('that is too large is limitExceeded, with its size and the limit, before anything is sent', async () => {
    await withPair(async ({ alice: { localParticipant } }) => {
      const error = await rejection(localParticipant.defineSchema(pose, 'ü'.repeat(MAX_SCHEMA_BYTES / 2 + 1)))
      expect(error.reason).toBe('limitExceeded')
      expect(error.message).toMatch(/51202 bytes.*51200/)
      await localParticipant.defineSchema(pose, 'ü'.repeat(MAX_SCHEMA_BYTES / 2))
      // What the SFU itself refuses: the name is within ours, not within its limit.
      const long = { name: 'x'.repeat(256), encoding: 'jsonschema' } as const
      expect((await rejection(localParticipant.defineSchema(long, 'x'))).reason).toBe('invalidRequest')
    })
  })

  it('is refused with an error that names the argument if it is invalid', async () => {
    await withPair(async ({ alice: { localParticipant } }) => {
      const define = localParticipant.defineSchema.bind(localParticipant) as (
        ...args: unknown[]
      ) => Promise<void>
      const get = localParticipant.getSchema.bind(localParticipant) as (...args: unknown[]) => Promise<string>
      for (const [attempt, type, name] of [
        [define('pose', 'x'), TypeError, 'schema'],
        [define({ name: '', encoding: 'jsonschema' }, 'x'), RangeError, 'schema.name.length'],
        [define({ name: 'x'.repeat(257), encoding: 'jsonschema' }, 'x'), RangeError, 'schema.name.length'],
        [define({ name: 'x', encoding: 'json schema' }, 'x'), RangeError, 'schema.encoding'],
        [define({ name: 'x', encoding: 'custom:' }, 'x'), RangeError, 'schema.encoding'],
        [define(pose, ''), RangeError, 'definition.length'],
        [define(pose, {}), TypeError, 'definition'],
        [get(pose, ''), RangeError, 'participantIdentity.length'],
        [get(pose, 'alice', { bytes: 1 }), TypeError, 'options.bytes'],
      ] as const) {
        const error = await rejection(attempt)
        expect(error).toBeInstanceOf(type)
        expect(error.message).toContain(`"${name}"`)
      }
    })
  })

  it('can be defined and read in a connected room only', async () => {
    const { localParticipant } = new Room()
    expect((await rejection(localParticipant.defineSchema(pose, 'x'))).reason).toBe('disconnected')
    expect((await rejection(localParticipant.getSchema(pose, 'alice'))).reason).toBe('disconnected')
  })

  it('exists after the connection was resumed or rebuilt, in its last definition', async () => {
    for (const kind of ['resume', 'full'] as const) {
      await withPair(async ({ sfu, alice, bob }) => {
        await alice.localParticipant.defineSchema(pose, 'first')
        await alice.localParticipant.defineSchema(pose, definition)
        await sfu.reconnect('alice', kind)
        await turn()
        expect(await bob.localParticipant.getSchema(pose, 'alice')).toBe(definition)
        // One that is asked for meanwhile, too.
        const reconnecting = sfu.reconnect('alice', kind)
        await alice.localParticipant.defineSchema(pose, 'third')
        await reconnecting
        expect(await bob.localParticipant.getSchema(pose, 'alice')).toBe('third')
      })
    }
  })
})

describe('a data blob', () => {
  it('that one participant stores can be read by others under its key, also after the connection was rebuilt', async () => {
    await withPair(async ({ sfu, alice, bob }) => {
      const bytes = Buffer.from([0xff, 1])
      await alice.localParticipant.storeDataBlob(pose.name, 'text')
      await alice.localParticipant.storeDataBlob('bytes', bytes)
      await alice.localParticipant.defineSchema(pose, definition)
      bytes.fill(0)
      await sfu.reconnect('alice', 'full')
      const { localParticipant } = bob
      expect(await localParticipant.getDataBlob(pose.name, 'alice')).toBe('text')
      expect(await localParticipant.getDataBlob('bytes', 'alice', { bytes: true })).toEqual(
        Uint8Array.of(0xff, 1),
      )
      expect(await localParticipant.getSchema(pose, 'alice')).toBe(definition)
      expect((await rejection(localParticipant.getDataBlob('bytes', 'alice'))).reason).toBe('notText')
      expect((await rejection(localParticipant.getDataBlob('none', 'alice'))).reason).toBe('notFound')
      await alice.localParticipant.storeDataBlob(pose.name, 'other')
      expect(await localParticipant.getDataBlob(pose.name, 'alice')).toBe('other')
    })
  })

  it.each([
    [5, 'x', '"key"'],
    ['', 'x', '"key.length"'],
    ['ü'.repeat(129), 'x', '"key.length"'],
    ['k', '', '"contents.length"'],
    ['k', 5, '"contents"'],
  ])('must have a key of 1 to 256 bytes, and contents: %.10s, %s', async (key, contents, name) => {
    const { localParticipant } = new Room()
    const error = await rejection(localParticipant.storeDataBlob(key as string, contents as string))
    expect(error.message).toContain(name)
    if (name.startsWith('"key'))
      expect((await rejection(localParticipant.getDataBlob(key as string, 'a'))).message).toContain(name)
  })

  it('cannot be stored without a connection, nor if it is too large', async () => {
    const { localParticipant } = new Room()
    expect((await rejection(localParticipant.storeDataBlob('k', 'x'))).reason).toBe('disconnected')
    expect((await rejection(localParticipant.getDataBlob('k', 'a'))).reason).toBe('disconnected')
    const large = await rejection(localParticipant.storeDataBlob('k', new Uint8Array(51_201)))
    expect(large.reason).toBe('limitExceeded')
  })
})
