/** Codecs convert values to payloads and back, and carry the metadata that describes the payloads to subscribers. */
import * as check from './arguments'

/** The encodings of frames that have a number in LiveKit's protocol, in the order of these numbers, from 1 on. */
export const frameEncodings = ['ros1', 'cdr', 'protobuf', 'flatbuffer', 'cbor', 'msgpack', 'json'] as const

/** The same for the languages of schemas. */
export const schemaEncodings = [
  'protobuf',
  'flatbuffer',
  'ros1msg',
  'ros2msg',
  'ros2idl',
  'omgidl',
  'jsonschema',
] as const

/**
 * How a track's payloads are encoded, by the names of MCAP's registry. `custom:` precedes a name of the application's
 * own (1 to 32 characters); `other:` precedes a number that this version does not know.
 */
export type DataTrackFrameEncoding = (typeof frameEncodings)[number] | `custom:${string}` | `other:${number}`

/** The language of a schema; see {@link DataTrackFrameEncoding}. */
export type DataTrackSchemaEncoding =
  (typeof schemaEncodings)[number] | `custom:${string}` | `other:${number}`

/** Names the schema that describes a track's payloads. */
export interface DataTrackSchema {
  /** 1 to 256 characters. */
  readonly name: string
  readonly encoding: DataTrackSchemaEncoding
}

/**
 * Converts values to payloads and back. Write your own for MessagePack, Protocol Buffers and so on:
 *
 *     const msgpack: DataTrackCodec<unknown> = { encode, decode, frameEncoding: 'msgpack' }  // of @msgpack/msgpack
 *
 * Both functions are synchronous and may throw. The thrown error becomes the `cause` of a typed error.
 */
export interface DataTrackCodec<T> {
  /** Encodes a value. The bytes are copied before the next call, so a codec can reuse one buffer for all calls. */
  encode(value: T): Uint8Array
  /** Decodes a payload. The bytes may share a buffer with other frames, so copy any bytes that you keep. */
  decode(payload: Uint8Array): T
  /** Published with the track unless the publish options give another one. */
  readonly frameEncoding?: DataTrackFrameEncoding | undefined
  /** Published with the track unless the publish options give another one. */
  readonly schema?: DataTrackSchema | undefined
  /**
   * Whether all payloads are UTF-8 text. RPC payloads are text, so other payloads travel as base64 there. Default:
   * `false`.
   */
  readonly isText?: boolean | undefined
}

// `fatal`: invalid UTF-8 throws an error instead of decoding to replacement characters.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * JSON in UTF-8, published as `json`. Encoding fails for a value that JSON cannot express (`undefined`, a function).
 */
export function json<T = unknown>(): DataTrackCodec<T> {
  return {
    frameEncoding: 'json',
    isText: true,
    encode(value) {
      // The declared type leaves out that it returns `undefined` for values that JSON cannot express.
      const encoded = JSON.stringify(value) as string | undefined
      if (encoded === undefined) throw check.invalidType('value', 'a value that JSON can express', value)
      return Buffer.from(encoded, 'utf8')
    },
    decode: (payload) => JSON.parse(decoder.decode(payload)) as T,
  }
}

/** Text in UTF-8. Decoding fails for invalid UTF-8. */
export function text(): DataTrackCodec<string> {
  return {
    isText: true,
    encode: (value) => Buffer.from(check.string('value', value), 'utf8'),
    decode: (payload) => decoder.decode(payload),
  }
}

/** The bytes, unchanged. */
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
