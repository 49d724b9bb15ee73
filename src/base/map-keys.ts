/**
 * Keys that others choose: of attributes, for example. A member of `Object.prototype` is no entry, and `__proto__` is one
 * as any other.
 */
import { randomUUID } from 'node:crypto'
import type { DataPacket } from '@livekit/protocol'

/** The entry of that key, and never what every object has. */
export function entryOf<T>(map: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(map, key) ? map[key] : undefined
}

const PROTO = '__proto__'
/** What is read in its place. Nothing that is sent can contain it. */
const STAND_IN = `${PROTO} ${randomUUID()}`

type MessageClass<T> = Pick<typeof DataPacket, 'runtime'> & {
  fromBinary(bytes: Uint8Array, options?: Parameters<typeof DataPacket.fromBinary>[1]): T
}

/**
 * The message, with those entries of its maps that bufbuild's decoder loses: it assigns to plain objects, which sets their
 * prototype for the key `__proto__`.
 *
 * @param decoded what the decoder made of the bytes
 */
export function withAllKeys<T>(type: MessageClass<T>, bytes: Uint8Array, decoded: T): T {
  if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(PROTO)) return decoded
  const { readerFactory } = type.runtime.bin.makeReadOptions({})
  const message = type.fromBinary(bytes, {
    readerFactory(given) {
      const reader = readerFactory(given)
      const read = reader.string.bind(reader)
      reader.string = () => {
        const text = read()
        return text === PROTO ? STAND_IN : text
      }
      return reader
    },
  })
  restore(message)
  return message
}

/** Puts the key back, and texts that are the same. */
function restore(value: unknown): unknown {
  if (value === STAND_IN) return PROTO
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value
  const object = value as Record<string, unknown>
  for (const key of Object.keys(object)) {
    const before = object[key]
    const after = restore(before)
    if (key === STAND_IN) {
      // An assignment would set the prototype.
      const entry = { value: after, enumerable: true, configurable: true, writable: true }
      Object.defineProperty(object, PROTO, entry)
      Reflect.deleteProperty(object, key)
    } else if (after !== before) {
      object[key] = after
    }
  }
  return value
}
