import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { RoomEvent } from '../../index'
import type { DataTrackE2eeError, E2eeProvider, Room, SealedDataTrackFrame } from '../../index'
import { publish, rejection, subscribe, take, thrown, turn, withPair } from '../helpers/rooms'

const key = randomBytes(16)
const contexts: object[] = []

/** AES-128-GCM by node:crypto; what LiveKit does, too. */
const sync: E2eeProvider = {
  encrypt(payload, context) {
    contexts.push(context)
    const iv = randomBytes(12)
    const cipher = createCipheriv('aes-128-gcm', key, iv)
    return {
      payload: Buffer.concat([cipher.update(payload), cipher.final(), cipher.getAuthTag()]),
      iv,
      keyIndex: 3,
    }
  },
  decrypt({ payload, iv, keyIndex }, context) {
    contexts.push({ keyIndex, ...context })
    const decipher = createDecipheriv('aes-128-gcm', key, iv)
    const end = payload.byteLength - 16
    decipher.setAuthTag(payload.subarray(end))
    return Buffer.concat([decipher.update(payload.subarray(0, end)), decipher.final()])
  },
}

/** The same, answering later; later answers for earlier frames. */
const slow: E2eeProvider = {
  async encrypt(payload, context) {
    for (let turns = payload[0]!; turns > 0; turns--) await turn()
    return await sync.encrypt(payload, context)
  },
  async decrypt(frame, context) {
    const plain = await sync.decrypt(frame, context)
    for (let turns = 3 - (plain[0]! % 4); turns > 0; turns--) await turn()
    return plain
  },
}

async function withProviders(
  alice: E2eeProvider,
  bob: E2eeProvider,
  use: (pair: { sfu: any; alice: Room; bob: Room }) => Promise<void>,
): Promise<void> {
  await withPair(
    use,
    {},
    { alice: { encryption: { provider: alice } }, bob: { encryption: { provider: bob } } },
  )
}

function failures(room: Room): DataTrackE2eeError[] {
  const errors: DataTrackE2eeError[] = []
  room.on(RoomEvent.EncryptionError, (error) => errors.push(error))
  return errors
}

describe('a custom provider', () => {
  it('seals and opens frames of all sizes', async () => {
    await withProviders(sync, sync, async (pair) => {
      const { local, remote } = await publish(pair)
      expect(local.info.usesE2ee).toBe(true)
      const stream = await subscribe(remote)
      contexts.length = 0
      for (const length of [0, 9, 16_368, 16_369, 200_000]) {
        const payload = new Uint8Array(length).fill(length)
        local.tryPush({ payload, userTimestamp: 4n })
        const [frame] = await take(stream, 1)
        expect(Buffer.compare(frame.payload, payload), `${length} bytes`).toBe(0)
        expect(frame.userTimestamp).toBe(4n)
      }
      expect(contexts[0]).toEqual({ trackName: 'track' })
      expect(contexts[1]).toEqual({ trackName: 'track', publisherIdentity: 'alice', keyIndex: 3 })
    })
  })

  it('that returns promises requires awaited pushes, and keeps the order of frames', async () => {
    await withProviders(slow, slow, async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      const error = thrown(() => local.tryPush(new Uint8Array([0])))
      expect(error.reason).toBe('encryptionFailed')
      expect(error.message).toContain('push()')
      for (let index = 0; index < 8; index++) await local.push(new Uint8Array([index]))
      const frames = []
      for await (const frame of stream) {
        frames.push(frame.payload[0])
        if (frames.length === 8) break
      }
      expect(frames).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    })
  })

  it('that throws, rejects or returns no frame fails the push with its error as the cause', async () => {
    const cause = new Error('cause')
    const wrong: [unknown, boolean][] = [
      [() => Promise.reject(cause), false],
      [() => null, true],
      [() => ({ payload: 'text', iv: new Uint8Array(12), keyIndex: 0 }), true],
      [() => ({ payload: new Uint8Array(1), iv: new Uint8Array(11), keyIndex: 0 }), true],
      [() => ({ payload: new Uint8Array(1), iv: new Uint8Array(12), keyIndex: 16 }), true],
    ]
    for (const [encrypt, synchronous] of wrong) {
      const provider = { ...sync, encrypt } as unknown as E2eeProvider
      await withProviders(provider, sync, async (pair) => {
        const errors = failures(pair.alice)
        const { local } = await publish(pair)
        if (synchronous)
          expect(thrown(() => local.tryPush(new Uint8Array(1))).reason).toBe('encryptionFailed')
        const error = await rejection(local.push(new Uint8Array(1)))
        expect(error.reason).toBe('encryptionFailed')
        expect(error.cause).toBeInstanceOf(Error)
        expect(errors[0]).toMatchObject({ reason: 'providerFailed', participantIdentity: undefined })
        expect(local.stats().pushed).toBe(0)
      })
    }
  })

  it('that cannot decrypt a frame drops it, counts it, and reports it once a second', async () => {
    const cause = new Error('cause')
    const open: { fails: boolean } = { fails: true }
    const provider: E2eeProvider = {
      ...sync,
      decrypt: (frame: SealedDataTrackFrame, context) => {
        if (open.fails) throw cause
        return sync.decrypt(frame, context)
      },
    }
    await withProviders(sync, provider, async (pair) => {
      const errors = failures(pair.bob)
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      const reading = stream.read()
      for (let index = 0; index < 5; index++) local.tryPush(new Uint8Array([index]))
      while ((stream.stats().dropped.decodeFailed ?? 0) < 5) await turn()
      open.fails = false
      local.tryPush(new Uint8Array([9]))
      expect((await reading)!.payload).toEqual(Buffer.from([9]))
      expect(errors).toHaveLength(1)
      expect(stream.stats()).toMatchObject({ received: 6, delivered: 1, dropped: { decodeFailed: 5 } })
      expect(errors[0]).toMatchObject({
        reason: 'providerFailed',
        participantIdentity: 'alice',
        keyIndex: 3,
        cause,
      })
    })
  })

  it('is refused if it lacks a method', async () => {
    await withPair(async ({ sfu }) => {
      for (const provider of [null, {}, { encrypt: () => undefined }]) {
        const error = thrown(() => sfu.join('carol', { encryption: { provider } as any }))
        expect(error).toBeInstanceOf(TypeError)
        expect(error.message).toContain('options.encryption')
      }
    })
  })
})
