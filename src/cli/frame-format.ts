/** The formats in which `datatrack sub` writes frames. */
import type { DataTrackFrame } from '../data-track/frame'
import { durationSince } from '../data-track/frame'
import type { RemoteDataTrack } from '../data-track/remote'
import { printable } from '../base/printable'

/**
 * `lines`: the payload and a line break. `raw`: the payload alone. `hex`: a line of hexadecimal digits. `json`: one
 * object a line, which also names the track and its publisher.
 */
export type FrameFormat = 'lines' | 'raw' | 'hex' | 'json'

// `fatal`: bytes that are not UTF-8 throw instead of becoming replacement characters. They are written as base64.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const LINE_BREAK = Buffer.from('\n')

/** The bytes to write for a frame. `terminal`: control characters in its text are escaped. */
export function formatFrame(
  format: FrameFormat,
  track: RemoteDataTrack,
  frame: DataTrackFrame,
  terminal: boolean,
): Uint8Array | string {
  switch (format) {
    case 'raw':
      return frame.payload
    case 'lines':
      return terminal
        ? `${printable(Buffer.from(frame.payload).toString('utf8'))}\n`
        : Buffer.concat([frame.payload, LINE_BREAK])
    case 'hex':
      return `${hex(frame.payload)}\n`
    case 'json':
      return `${JSON.stringify(describe(track, frame))}\n`
  }
}

function hex({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('hex')
}

/** A frame as a JSON object. The payload is `value` (JSON tracks), `text` (UTF-8) or `base64` (other bytes). */
function describe(track: RemoteDataTrack, frame: DataTrackFrame): object {
  const { userTimestamp } = frame
  return {
    track: track.name,
    identity: track.publisherIdentity,
    number: frame.number,
    bytes: frame.payload.byteLength,
    ...(frame.latched && { latched: true }),
    ...(userTimestamp !== undefined && {
      // Above 2^53 − 1 the timestamp is a string, because a JavaScript number would not be exact.
      userTimestamp:
        userTimestamp <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(userTimestamp) : String(userTimestamp),
      latency: durationSince(frame),
    }),
    ...payloadOf(track, frame.payload),
  }
}

function payloadOf({ info }: RemoteDataTrack, payload: Uint8Array): object {
  let text: string
  try {
    text = decoder.decode(payload)
  } catch {
    const { buffer, byteOffset, byteLength } = payload
    return { base64: Buffer.from(buffer, byteOffset, byteLength).toString('base64') }
  }
  if (info.frameEncoding !== 'json') return { text }
  try {
    return { value: JSON.parse(text) as unknown }
  } catch {
    return { text }
  }
}
