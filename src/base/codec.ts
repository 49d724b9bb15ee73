/** Codecs: from values to payloads and back, with the metadata that tells others what the payloads are. */
import * as check from './arguments'

/**
 * How a track's payloads are encoded, as MCAP's registry names it. `custom:` stands before a name of your own (1 to 32
 * characters), `other:` before a number that this version does not know.
 */
export type DataTrackFrameEncoding =
  | 'ros1'
  | 'cdr'
  | 'protobuf'
  | 'flatbuffer'
  | 'cbor'
  | 'msgpack'
  | 'json'
  | `custom:${string}`
  | `other:${number}`

/** The language of a schema; see {@link DataTrackFrameEncoding}. */
export type DataTrackSchemaEncoding =
  | 'protobuf'
  | 'flatbuffer'
  | 'ros1msg'
  | 'ros2msg'
  | 'ros2idl'
  | 'omgidl'
  | 'jsonschema'
  | `custom:${string}`
  | `other:${number}`

/** Names the schema that describes a track's payloads. */
export interface DataTrackSchema {
  /** 1 to 256 characters. */
  readonly name: string
  readonly encoding: DataTrackSchemaEncoding
}

/**
 * Turns values into payloads and back. Write your own for MessagePack, Protocol Buffers and so on:
 *
 *     const msgpack: DataTrackCodec<unknown> = { encode, decode, frameEncoding: 'msgpack' }  // of @msgpack/msgpack
 *
 * Both functions are synchronous and may throw; what they throw becomes the `cause` of a typed error.
 */
export interface DataTrackCodec<T> {
  /** The payload of a value. The bytes are copied before the next call, so one buffer can serve all. */
  encode(value: T): Uint8Array
  /** The value of a payload. The bytes may share a buffer with other frames: copy what is kept as bytes. */
  decode(payload: Uint8Array): T
  /** Published with the track, unless the options of the publication say something else. */
  readonly frameEncoding?: DataTrackFrameEncoding | undefined
  /** Published with the track, unless the options of the publication say something else. */
  readonly schema?: DataTrackSchema | undefined
  /** Whether all payloads are text in UTF-8. RPC carries texts, so others go as base64 there. Default: `false`. */
  readonly isText?: boolean | undefined
}

// `fatal`: text that is none is an error of the sender, not a row of question marks.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** JSON in UTF-8, published as `json`. A value that JSON does not have (`undefined`, a function) fails to encode. */
export function json<T = unknown>(): DataTrackCodec<T> {
  return {
    frameEncoding: 'json',
    isText: true,
    encode(value) {
      // The declared type hides that it returns `undefined` for values that JSON does not have.
      const encoded = JSON.stringify(value) as string | undefined
      if (encoded === undefined) throw check.invalidType('value', 'a value that JSON can express', value)
      return Buffer.from(encoded, 'utf8')
    },
    decode: (payload) => JSON.parse(decoder.decode(payload)) as T,
  }
}

/** Text in UTF-8; bytes that are none fail to decode. */
export function text(): DataTrackCodec<string> {
  return {
    isText: true,
    encode: (value) => Buffer.from(check.string('value', value), 'utf8'),
    decode: (payload) => decoder.decode(payload),
  }
}

/** The bytes as they are. */
export function bytes(): DataTrackCodec<Uint8Array> {
  return { encode: (value) => check.bytes('value', value), decode: (payload) => payload }
}

/** @internal */
export function checkCodec<T>(name: string, codec: DataTrackCodec<T> | undefined): DataTrackCodec<T> | null {
  if (codec === undefined) return null
  if (typeof codec !== 'object' || (codec as unknown) === null) {
    throw check.invalidType(name, 'a codec with encode() and decode()', codec)
  }
  check.methods(name, codec, ['encode', 'decode'])
  return codec
}
