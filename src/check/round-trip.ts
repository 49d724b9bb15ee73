/** How long frames take there and back. */
import type { LocalDataTrack } from '../data-track/local'
import type { DataTrackStream } from '../data-track/stream'

/** A frame that has not come back after this time is sent once more, ms. Any network may lose frames. */
const REPEAT = 500

let trips = 0n

/** Sends a frame until `stream` yields it, and returns the time since the first was sent, ms. */
export async function roundTrip(
  local: LocalDataTrack,
  stream: DataTrackStream,
  bytes: number,
  signal: AbortSignal,
): Promise<number> {
  signal.throwIfAborted()
  const payload = new Uint8Array(bytes).fill(7)
  const userTimestamp = ++trips
  const started = performance.now()
  await local.push({ payload, userTimestamp }, { signal })
  const again = setInterval(() => {
    if (local.isPublished()) local.tryPush({ payload, userTimestamp })
  }, REPEAT)
  try {
    for (;;) {
      const frame = await frameOf(stream)
      if (frame.userTimestamp !== userTimestamp) continue
      if (Buffer.compare(frame.payload, payload) !== 0) throw new Error('a frame came back with other bytes')
      return performance.now() - started
    }
  } finally {
    clearInterval(again)
  }
}

/** The next frame of a track that must not end. */
export async function frameOf(
  stream: DataTrackStream,
): Promise<NonNullable<Awaited<ReturnType<DataTrackStream['read']>>>> {
  const frame = await stream.read()
  if (frame === undefined) throw new Error('the track ended')
  return frame
}
