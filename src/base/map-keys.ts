/**
 * Maps whose keys remote participants choose, attributes for example. A member of `Object.prototype` is not an entry,
 * and `__proto__` is an ordinary key.
 */
import { randomUUID } from 'node:crypto'
import type { DataPacket } from '@livekit/protocol'

/** The entry with this key, without the members that every object inherits. */
export function entryOf<T>(map: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(map, key) ? map[key] : undefined
}

const PROTO = '__proto__'
/** Replaces `__proto__` while decoding. It is random, so no message can contain it. */
const STAND_IN = `${PROTO} ${randomUUID()}`

type MessageClass<T> = Pick<typeof DataPacket, 'runtime'> & {
  fromBinary(bytes: Uint8Array, options?: Parameters<typeof DataPacket.fromBinary>[1]): T
}

/**
 * The decoded message, with the map entries that bufbuild's decoder loses. The decoder assigns entries to plain
 * objects, and assigning to the key `__proto__` sets the prototype instead.
 *
 * @param decoded the message as decoded from the bytes
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

/** Restores the key `__proto__`, and string values equal to it. */
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
