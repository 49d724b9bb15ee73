/** What is known about a track, and its conversion to and from the native form. */
import type { NativeTrackInfo } from '../native/native'
import type { DataTrackFrameEncoding, DataTrackSchema, DataTrackSchemaEncoding } from '../base/codec'

/** A published track as the SFU describes it. The field names are livekit-client's. */
export interface DataTrackInfo {
  /** The SFU's ID of the publication (`DTR_…`). It changes when the publisher's connection is rebuilt. */
  readonly sid: string
  /** The publisher's number for the track, 1 to 65,535. It stays the same when the SID changes. */
  readonly pubHandle: number
  /** The name that the publisher chose. */
  readonly name: string
  /** Whether frames are encrypted end to end. */
  readonly usesE2ee: boolean
  /** The encoding of the payloads, if the publisher gave one. */
  readonly frameEncoding?: DataTrackFrameEncoding | undefined
  /** The schema of the payloads, if the publisher gave one. */
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
