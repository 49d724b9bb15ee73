/** `datatrack pub --audio`: publishes the sound of a WAV file as an audio track. */
import { abortable } from '../base/abort'
import { printable } from '../base/printable'
import { joinRoom } from '../check/rooms'
import { AudioResampler } from '../media/audio-resampler'
import { AudioSource } from '../media/audio-source'
import { LocalAudioTrack } from '../media/local-audio-track'
import { note } from './output'
import { PubExit, settle } from './pub'
import type { PubOptions } from './pub'
import { participantIn, untilDisconnected } from './room-notes'
import { tokenFor } from './server'
import { openWav } from './wav'
import type { WavSource } from './wav'

/** The highest rate of a source. Files with a higher one are converted to it. */
const MAX_SOURCE_RATE = 48_000

/** Options of {@link pubAudio}: those of `pub` that a file of sound has. */
export interface PubAudioOptions extends Pick<
  PubOptions,
  'server' | 'connect' | 'encryption' | 'name' | 'waitFor' | 'settle' | 'waitForSubscriber' | 'quiet'
> {
  /** The WAV file. */
  readonly path: string
}

/** Publishes until the file or the signal ends, and resolves with the exit code. */
export async function pubAudio(options: PubAudioOptions, signal: AbortSignal): Promise<number> {
  const wav = await openWav(options.path)
  const token = tokenFor(options.server, 'pub', { canPublishData: true, canPublish: true })
  const room = await joinRoom(options.server.url, token, {
    ...options.connect,
    encryption: options.encryption,
  })
  const source = new AudioSource(Math.min(wav.sampleRate, MAX_SOURCE_RATE), wav.channels)
  try {
    const ended = untilDisconnected(room, signal)
    if (options.waitFor !== undefined) await participantIn(room, options.waitFor, ended)
    const track = LocalAudioTrack.createAudioTrack(options.name, source)
    const publication = await room.localParticipant.publishTrack(track, { signal: ended })
    const say = (text: string): void => {
      if (!options.quiet) note(text)
    }
    const form = `${wav.sampleRate} Hz, ${wav.channels === 1 ? 'mono' : 'stereo'}, ${wav.seconds.toFixed(1)} s`
    say(`Publishing ${printable(options.name)} (${form}) as ${printable(room.localParticipant.identity)}.`)
    if (options.waitForSubscriber) {
      say('Waiting for a subscriber.')
      await publication.waitForSubscription({ signal: ended })
    } else await settle(room, options.settle, ended)
    await play(wav, source, ended)
    const { packetsSent, packetsDropped } = publication.stats()
    say(`Published ${wav.seconds.toFixed(1)} s in ${packetsSent} packets, dropped ${packetsDropped}.`)
    return packetsDropped > 0 ? PubExit.Dropped : PubExit.Ok
  } catch (error) {
    if (signal.aborted && error === signal.reason) return PubExit.Ok
    throw error
  } finally {
    await source.close()
    await room.disconnect()
  }
}

async function play(wav: WavSource, source: AudioSource, signal: AbortSignal): Promise<void> {
  const { sampleRate, channels } = wav
  const resampler =
    sampleRate > MAX_SOURCE_RATE ? new AudioResampler(sampleRate, MAX_SOURCE_RATE, channels) : undefined
  try {
    for await (const frame of wav.frames(signal))
      for (const part of resampler?.push(frame) ?? [frame]) await abortable(source.captureFrame(part), signal)
    for (const part of resampler?.flush() ?? []) await abortable(source.captureFrame(part), signal)
    await abortable(source.waitForPlayout(), signal)
  } catch (error) {
    // After an abort, the file fails with an error of its own.
    throw signal.aborted ? signal.reason : error
  }
}
