/** Encodes the messages of data packets, of which a program may send thousands a second. */
import type { BinaryWriteOptions, IBinaryWriter } from '@bufbuild/protobuf'
import { loadProtobuf } from './lazy'

/** Bytes of the memory into which messages are written before their length is known, at first. */
const MEMORY = 4_096
/** Bytes of it that are kept between messages, at most. */
const MOST_KEPT = 65_536
/** UTF-16 units up to which a text is copied unit by unit. Beyond it, the encoder of Node.js is faster. */
const SHORT_TEXT = 512
const MOST_INT32 = 0x7f_ff_ff_ff

let memory = new Uint8Array(MEMORY)
/** Bytes of `memory` that are in use: by a message, and by the messages in it. */
let used = 0

interface Encodable {
  toBinary: (options: Partial<BinaryWriteOptions>) => Uint8Array
}

let options: Partial<BinaryWriteOptions> | undefined

/**
 * The message in protobuf: the same bytes as those of `message.toBinary()`, with less garbage. The writer of the
 * protobuf package makes several arrays for each text.
 */
export function encode(message: Encodable): Uint8Array {
  options ??= { writerFactory: writerFactory() }
  // An earlier message may have been invalid. Then its writers did not finish.
  used = 0
  const bytes = message.toBinary(options)
  if (memory.length > MOST_KEPT) memory = new Uint8Array(MEMORY)
  return bytes
}

/** Makes writers: one for each message, and one for each message in it, while the outer one waits. */
function writerFactory(): () => IBinaryWriter {
  const { BinaryWriter } = loadProtobuf()
  const encoder = new TextEncoder()

  // What is not overridden checks its value, and writes to `buf` or by `raw`.
  class PacketWriter extends BinaryWriter {
    readonly #start = used
    #forks: number[] | undefined

    constructor() {
      super(encoder)
    }

    override finish(): Uint8Array {
      const bytes = memory.slice(this.#start, used)
      used = this.#start
      return bytes
    }

    override fork(): this {
      ;(this.#forks ??= []).push(used)
      return this
    }

    override join(): this {
      const from = this.#forks?.pop()
      if (from === undefined) throw new Error('invalid state, fork stack empty')
      const length = used - from
      const size = sizeOf(length)
      reserve(size)
      memory.copyWithin(from + size, from, used)
      used = from
      writeVarint(length)
      used += length
      return this
    }

    override raw(chunk: Uint8Array): this {
      reserve(chunk.length)
      memory.set(chunk, used)
      used += chunk.length
      return this
    }

    override uint32(value: number): this {
      if (value >>> 0 !== value) return this.#flushed(super.uint32(value))
      reserve(5)
      writeVarint(value)
      return this
    }

    override int32(value: number): this {
      if (value >>> 0 !== value || value > MOST_INT32) return this.#flushed(super.int32(value))
      return this.uint32(value)
    }

    override bool(value: boolean): this {
      return this.uint32(value ? 1 : 0)
    }

    override sint32(value: number): this {
      return this.#flushed(super.sint32(value))
    }

    override int64(value: string | number | bigint): this {
      return this.#flushed(super.int64(value))
    }

    override sint64(value: string | number | bigint): this {
      return this.#flushed(super.sint64(value))
    }

    override uint64(value: string | number | bigint): this {
      return this.#flushed(super.uint64(value))
    }

    override string(value: string): this {
      const { length } = value
      if (!(length <= SHORT_TEXT)) return this.#encoded(value)
      const before = used
      reserve(length + 5)
      writeVarint(length)
      for (let at = 0; at < length; at++) {
        const unit = value.charCodeAt(at)
        if (unit > 0x7f) {
          used = before
          return this.#encoded(value)
        }
        memory[used++] = unit
      }
      return this
    }

    #encoded(text: string): this {
      super.string(text)
      return this
    }

    /** Takes over what a method of the protobuf package has written. */
    #flushed(_written: IBinaryWriter): this {
      const { buf } = this
      reserve(buf.length)
      for (let at = 0; at < buf.length; at++) memory[used++] = buf[at] ?? 0
      buf.length = 0
      return this
    }
  }

  return () => new PacketWriter()
}

function reserve(bytes: number): void {
  if (used + bytes <= memory.length) return
  const larger = new Uint8Array(Math.max(2 * memory.length, used + bytes))
  larger.set(memory)
  memory = larger
}

function sizeOf(value: number): number {
  let size = 1
  for (let rest = value; rest > 0x7f; rest >>>= 7) size++
  return size
}

function writeVarint(value: number): void {
  let rest = value
  while (rest > 0x7f) {
    memory[used++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  memory[used++] = rest
}
