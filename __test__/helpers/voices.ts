/** Participants of a loopback that say tones and listen to them. */
import { AudioSource, AudioStream, LocalAudioTrack, Loopback, RoomEvent } from '../../index'
import type { LoopbackNetworkOptions, RemoteAudioTrack, RemoteTrackPublication, Room } from '../../index'
import { heard, toneOf } from './tones'

const RATE = 48_000

/** A source that says a tone, without a pause, and its track. */
export class Voice {
  readonly source: AudioSource
  readonly track: LocalAudioTrack
  #tone = 0

  constructor(name: string, channels = 1) {
    this.source = new AudioSource(RATE, channels, 200)
    this.track = LocalAudioTrack.createAudioTrack(name, this.source)
  }

  /** Says a tone in place of that before it. A multiple of 100 Hz; 0: nothing. */
  say(tone: number): void {
    this.#tone = tone
    this.source.clearQueue()
    if (tone > 0) void this.#go(tone)
  }

  async #go(tone: number): Promise<void> {
    const frame = toneOf(tone, RATE, 100, { channels: this.source.numChannels })
    while (this.#tone === tone && !this.source.isClosed)
      await this.source.captureFrame(frame).catch(() => undefined)
  }

  async close(): Promise<void> {
    this.#tone = 0
    await this.source.close()
  }
}

/** A loopback, whose participants are called by their identities. It ends all voices with itself. */
export class Stage {
  readonly sfu: Loopback
  readonly #voices: Voice[] = []

  constructor(network: LoopbackNetworkOptions = {}) {
    this.sfu = new Loopback({ seed: 1, ...network })
  }

  voice(tone: number, name = `${tone} Hz`, channels = 1): Voice {
    const voice = new Voice(name, channels)
    this.#voices.push(voice)
    voice.say(tone)
    return voice
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const voice of this.#voices) await voice.close()
    this.sfu.close()
  }
}

/** Whether a tone is in a frame, and nothing else. */
export function isHeard(frame: Parameters<typeof heard>[0], tone: number): boolean {
  const { share, level } = heard(frame, tone)
  return share > 0.9 && level > 5_000
}

/** Reads until 10 frames in a row, 100 ms, have the tone. Fails if the stream ends before. */
export async function hears(stream: AudioStream, tone: number): Promise<void> {
  let inARow = 0
  const reader = stream.getReader()
  try {
    while (inARow < 10) {
      const { value, done } = await reader.read()
      if (done) throw new Error(`the stream ended before ${tone} Hz was heard`)
      inARow = isHeard(value, tone) ? inARow + 1 : 0
    }
  } finally {
    reader.releaseLock()
  }
}

/** Opens a stream of a track, and reads until the tone is heard. */
export async function opened(track: RemoteAudioTrack, tone: number): Promise<AudioStream> {
  const stream = new AudioStream(track)
  await hears(stream, tone)
  return stream
}

/** The next track that is subscribed to. */
export function nextTrack(room: Room): Promise<RemoteAudioTrack> {
  return new Promise((resolve) => room.once(RoomEvent.TrackSubscribed, resolve))
}

/** The publications that a room sees of a participant. */
export function publicationsOf(room: Room, identity: string): RemoteTrackPublication[] {
  return [...(room.remoteParticipants.get(identity)?.trackPublications.values() ?? [])]
}
