/** `datatrack sub --audio`: writes an audio track of another participant to a WAV file. */
import { Deferred } from '../base/abort'
import { printable } from '../base/printable'
import { joinRoom } from '../check/rooms'
import { AudioStream } from '../media/audio-stream'
import type { RemoteAudioTrack } from '../media/remote-audio-track'
import type { RemoteTrackPublication } from '../media/remote-publication'
import { RoomEvent } from '../room/events'
import type { RemoteParticipant } from '../room/remote-participant'
import type { Room } from '../room/room'
import { note, Stopped } from './output'
import { untilDisconnected } from './room-notes'
import { tokenFor } from './server'
import { SubExit } from './sub'
import type { SubOptions } from './sub'
import { WavFile } from './wav'

/** Options of {@link subAudio}: those of `sub` that concern a track, and the form of the file. */
export interface SubAudioOptions extends Pick<
  SubOptions,
  'server' | 'connect' | 'encryption' | 'name' | 'from' | 'seconds' | 'quiet'
> {
  /** The WAV file. */
  readonly path: string
  readonly sampleRate: number
  readonly channels: number
}

/** Writes until the track or the signal ends, and resolves with the exit code. */
export async function subAudio(options: SubAudioOptions, signal: AbortSignal): Promise<number> {
  const { server, sampleRate, channels } = options
  const file = await WavFile.create(options.path, sampleRate, channels)
  try {
    const token = tokenFor(server, 'sub', { canPublishData: true })
    const coming = new Deferred<RemoteAudioTrack>()
    const connect = { ...options.connect, encryption: options.encryption }
    const room = await joinRoom(server.url, token, connect, (made) => subscribe(made, options, coming))
    try {
      return await record(room, coming, file, options, signal)
    } finally {
      await room.disconnect()
    }
  } finally {
    await file.close()
  }
}

/** Subscribes to the first track that matches. */
function subscribe(
  room: Room,
  { name, from, quiet }: SubAudioOptions,
  coming: Deferred<RemoteAudioTrack>,
): void {
  let chosen: RemoteTrackPublication | undefined
  room.on(RoomEvent.TrackPublished, (publication: RemoteTrackPublication, participant: RemoteParticipant) => {
    if (chosen !== undefined) return
    if (name !== undefined && publication.trackName !== name) return
    if (from !== undefined && participant.identity !== from) return
    chosen = publication
    const label = `${printable(publication.trackName)} of ${printable(participant.identity)}`
    if (!quiet) note(`Subscribing to ${label}.`)
    publication.setSubscribed(true)
  })
  room.on(RoomEvent.TrackSubscribed, (track) => coming.resolve(track))
  room.on(RoomEvent.TrackSubscriptionFailed, (_, __, reason) =>
    coming.reject(new Error(`the track cannot be subscribed to: ${reason}`)),
  )
}

async function record(
  room: Room,
  coming: Deferred<RemoteAudioTrack>,
  file: WavFile,
  { sampleRate, channels, seconds = Infinity, quiet }: SubAudioOptions,
  signal: AbortSignal,
): Promise<number> {
  const ended = untilDisconnected(room, signal)
  let lost = 0
  try {
    const track = await coming.abortWith(ended, () => undefined).promise
    const stream = new AudioStream(track, { sampleRate, numChannels: channels, frameSizeMs: 100 })
    const stop = (): void => stream.close()
    ended.addEventListener('abort', stop, { once: true })
    // The stream is left when there is enough, and that closes it.
    for await (const frame of stream) {
      await file.write(frame)
      lost = stream.stats().packetsLost
      if (file.seconds >= seconds) break
    }
    ended.removeEventListener('abort', stop)
    ended.throwIfAborted()
  } catch (error) {
    if (!(error instanceof Stopped)) throw error
  }
  if (!quiet) note(`Received ${file.seconds.toFixed(1)} s, lost ${lost} packets.`)
  return file.seconds > 0 ? SubExit.Ok : SubExit.TooFew
}
