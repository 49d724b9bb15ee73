import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { byteChunks, chunkEnd, textChunks } from '../../src/data-stream/utf8'
import { receiveText } from '../helpers/data-streams'
import { until, withPair } from '../helpers/rooms'

const text = fc.string({ unit: 'binary', maxLength: 400 })

describe('cutting a text or bytes into chunks', () => {
  it('never splits a character', () => {
    const encoder = new TextEncoder()
    const bytes = encoder.encode('aä三😀'.repeat(3))
    for (let start = 0; start < bytes.length; start = chunkEnd(bytes, start, 4)) {
      for (let size = 4; size <= bytes.length; size++) {
        const end = chunkEnd(bytes, start, size)
        expect(end).toBeGreaterThan(start)
        expect(end - start).toBeLessThanOrEqual(size)
        expect(() =>
          new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(start, end)),
        ).not.toThrow()
      }
    }
  })

  it('gives chunks of text that are as long as possible and together equal the text', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 4, max: 50 }), (given, size) => {
        const bytes = Buffer.from(given)
        const chunks = [...textChunks(bytes, size)]
        expect(Buffer.concat(chunks).equals(bytes)).toBe(true)
        const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
        expect(chunks.map((chunk) => decoder.decode(chunk)).join('')).toBe(bytes.toString())
        for (const chunk of chunks.slice(0, -1)) expect(chunk.length).toBeGreaterThan(size - 4)
      }),
    )
  })

  it('gives chunks of bytes that together equal the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 50 }), (bytes, size) => {
        const chunks = [...byteChunks(bytes, size)]
        expect(Buffer.concat(chunks).equals(bytes)).toBe(true)
        expect(chunks.length).toBe(Math.ceil(bytes.length / size))
      }),
    )
  })
})

describe('a text stream', () => {
  it('arrives unchanged, however its pieces were written', () =>
    withPair(async ({ alice, bob }) => {
      await until(() => alice.remoteParticipants.has('bob'))
      await fc.assert(
        fc.asyncProperty(fc.array(fc.string({ unit: 'binary', maxLength: 50 })), async (pieces) => {
          const arriving = receiveText(bob)
          const writer = await alice.localParticipant.streamText()
          // UTF-16 code units: pieces may end within a character.
          const whole = pieces.join('')
          for (let at = 0; at < whole.length; at += 3) await writer.write(whole.slice(at, at + 3))
          await writer.close()
          expect((await arriving).text).toBe(Buffer.from(whole).toString())
        }),
        { numRuns: 50 },
      )
    }))

  it('that is sent at once arrives unchanged, wherever it is cut', () =>
    withPair(async ({ alice, bob }) => {
      await until(() => alice.remoteParticipants.has('bob'))
      for (let shift = 0; shift < 13; shift++) {
        const whole = 'x'.repeat(shift) + 'aä三😀'.repeat(3200)
        const arriving = receiveText(bob)
        await alice.localParticipant.sendText(whole, { compress: false })
        expect((await arriving).text === whole).toBe(true)
      }
    }))
})
