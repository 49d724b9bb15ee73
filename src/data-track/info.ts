/** What is known of a track, and how it is written on either side. */
import type { NativeTrackInfo } from '../native/native'
import type { DataTrackFrameEncoding, DataTrackSchema, DataTrackSchemaEncoding } from '../base/codec'

/** A published track as the SFU describes it. Names are livekit-client's. */
export interface DataTrackInfo {
  /** The SFU's name for the publication (`DTR_…`). A full reconnect of the publisher brings a new one. */
  readonly sid: string
  /** The publisher's own number for the track, 1 to 65,535. It stays the same when the SID changes. */
  readonly pubHandle: number
  /** The name that the publisher chose. */
  readonly name: string
  /** Whether frames are encrypted end to end. */
  readonly usesE2ee: boolean
  /** How payloads are encoded, if the publisher said so. */
  readonly frameEncoding?: DataTrackFrameEncoding | undefined
  /** What describes the payloads, if the publisher said so. */
  readonly schema?: DataTrackSchema | undefined
}

/** @internal */
export function infoFromNative(info: NativeTrackInfo): DataTrackInfo {
  const { sid, pubHandle, name, encrypted, frameEncoding, schemaName, schemaEncoding } = info
  return Object.freeze({
    sid,
    pubHandle,
    name,
    usesE2ee: encrypted,
    ...(frameEncoding === null ? {} : { frameEncoding: frameEncoding as DataTrackFrameEncoding }),
    ...(schemaName === null
      ? {}
      : {
          schema: Object.freeze({
            name: schemaName,
            encoding: (schemaEncoding ?? 'custom:') as DataTrackSchemaEncoding,
          }),
        }),
  })
}

/** @internal */
export function infoToNative(info: DataTrackInfo): NativeTrackInfo {
  return {
    sid: info.sid,
    pubHandle: info.pubHandle,
    name: info.name,
    encrypted: info.usesE2ee,
    frameEncoding: info.frameEncoding ?? null,
    schemaName: info.schema?.name ?? null,
    schemaEncoding: info.schema?.encoding ?? null,
  }
}
