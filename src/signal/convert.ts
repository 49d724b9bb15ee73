/** Converts between the protocol's messages and the native side's plain structures. */
import { isObject } from '../base/arguments'
import { frameEncodings, schemaEncodings } from '../base/codec'
import type { NativeTrackInfo } from '../native/native'
import { EncryptionType } from './messages'
import type { DataTrackInfoMessage, EncodingMessage, SchemaMessage } from './messages'

/** Fields that publish requests and track infos share. */
type TrackMetadata = Pick<NativeTrackInfo, 'frameEncoding' | 'schemaName' | 'schemaEncoding'>

interface MetadataMessage {
  readonly frameEncoding?: EncodingMessage
  readonly schema?: SchemaMessage
}

export function encryptionToMessage(encrypted: boolean): number {
  return encrypted ? EncryptionType.Gcm : EncryptionType.None
}

/** Absent metadata are absent properties, as in bufbuild's messages. */
export function metadataToMessage({
  frameEncoding,
  schemaName,
  schemaEncoding,
}: TrackMetadata): MetadataMessage {
  return {
    ...(frameEncoding === null ? {} : { frameEncoding: encodingToMessage(frameEncoding, frameEncodings) }),
    ...(schemaName === null ? {} : { schema: schemaToMessage(schemaName, schemaEncoding) }),
  }
}

export function schemaToMessage(name: string, encoding: string | null): SchemaMessage {
  return {
    name,
    ...(encoding === null ? {} : { encoding: encodingToMessage(encoding, schemaEncodings) }),
  }
}

/** Whether a text is the encoding of a schema: a name of MCAP's, a custom one of 1 to 32 characters, or a number. */
export function isSchemaEncoding(text: string): boolean {
  const known: readonly string[] = schemaEncodings
  return known.includes(text) || /^custom:.{1,32}$/su.test(text) || /^other:[1-9]\d{0,8}$/.test(text)
}

export function infoToMessage(info: NativeTrackInfo): DataTrackInfoMessage {
  return {
    pubHandle: info.pubHandle,
    sid: info.sid,
    name: info.name,
    encryption: encryptionToMessage(info.encrypted),
    ...metadataToMessage(info),
  }
}

/** `undefined`: the message is not a valid info. The entry is then skipped, and the others are kept. */
export function infoFromMessage(message: unknown): NativeTrackInfo | undefined {
  if (!isObject(message)) return undefined
  const { pubHandle, sid, name, encryption, frameEncoding, schema } = message
  if (!isHandle(pubHandle) || typeof sid !== 'string' || typeof name !== 'string') return undefined
  // In plain objects of bufbuild 2, fields with the value zero are absent. Then there is no encryption.
  const kind = encryption ?? EncryptionType.None
  if (typeof kind !== 'number') return undefined
  const named = isObject(schema) && typeof schema['name'] === 'string' ? schema : undefined
  return {
    pubHandle,
    sid,
    name,
    encrypted: kind !== EncryptionType.None,
    frameEncoding: encodingFromMessage(frameEncoding, frameEncodings),
    schemaName: named === undefined ? null : (named['name'] as string),
    schemaEncoding: named === undefined ? null : encodingFromMessage(named['encoding'], schemaEncodings),
  }
}

/** The largest handle. Handles have 16 bits, and 0 is none. */
export const MAX_HANDLE = 65_535

/** Whether a value is a valid handle: 1 to {@link MAX_HANDLE}. */
export function isHandle(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_HANDLE
}

function encodingToMessage(text: string, names: readonly string[]): EncodingMessage {
  if (text.startsWith('custom:')) return { value: { case: 'custom', value: text.slice('custom:'.length) } }
  const number = text.startsWith('other:') ? Number(text.slice('other:'.length)) : names.indexOf(text) + 1
  return { value: { case: 'wellKnown', value: number } }
}

function encodingFromMessage(message: unknown, names: readonly string[]): string | null {
  if (!isObject(message) || !isObject(message['value'])) return null
  const { case: kind, value } = message['value']
  if (kind === 'custom' && typeof value === 'string') return `custom:${value}`
  // 0 is `UNSPECIFIED`.
  if (kind === 'wellKnown' && typeof value === 'number' && value !== 0) {
    return names[value - 1] ?? `other:${value}`
  }
  return null
}
