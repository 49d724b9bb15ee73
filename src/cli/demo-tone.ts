/** The demo's tone: beeps of an audio track, and what is heard of them. */
import { AudioFrame } from '../media/audio-frame'
import { AudioSource } from '../media/audio-source'
import { AudioStream } from '../media/audio-stream'
import { LocalAudioTrack } from '../media/local-audio-track'
import type { RemoteAudioTrack } from '../media/remote-audio-track'
import type { RemoteTrackPublication } from '../media/remote-publication'
import { RoomEvent } from '../room/events'
import type { Room } from '../room/room'
import { pace } from '../check/pace'
import type { DemoTrack, StartedDemoTrack } from './demo-tracks'
import { Meter } from './meter'
import { Tone } from './tone'

const NAME = 'tone'
const RATE = 48_000
const HERTZ = 440
const AMPLITUDE = 10_000
/** Frames of 10 ms in a beep. */
const BEEP = 30
const BEEPS_PER_SECOND = 2

/** An audio track of short beeps. Its latency is that of each beep's beginning, from the captured frame to the heard one. */
export function toneTrack(): DemoTrack {
  const meter = new Meter()
  const tone = new Tone(AMPLITUDE)
  return {
    name: NAME,
    get what() {
      const heard = tone.hertz === undefined ? 'nothing' : `${tone.hertz.toFixed(0)} Hz`
      return `audio, beeps of ${HERTZ} Hz; heard: ${heard}`
    },
    meter,
    async start(publisher, subscriber, signal) {
      const source = new AudioSource(RATE, 1)
      signal.addEventListener('abort', () => void source.close(), { once: true })
      const subscribed = subscribedTo(subscriber, publisher, signal)
      subscribed.catch(() => undefined)
      const track = LocalAudioTrack.createAudioTrack(NAME, source)
      const publication = await publisher.localParticipant.publishTrack(track, { signal })
      const stream = new AudioStream(await subscribed)
      signal.addEventListener('abort', () => stream.close(), { once: true })
      const begun: number[] = []
      beep(source, signal, () => meter.sent(), begun)
      return {
        published: {
          stats: () => {
            const { packetsDropped, unitsFailed } = publication.stats()
            const dropped = { ...some('notSent', packetsDropped), ...some('notEncoded', unitsFailed) }
            return { pushed: meter.total().sentFrames, dropped }
          },
        },
        dropping: [
          {
            stats: () => {
              const { packetsLost, framesDropped } = stream.stats()
              return { dropped: { ...some('lost', packetsLost), ...some('notRead', framesDropped) } }
            },
          },
        ],
        read: () => listen(stream, tone, meter, begun),
      } satisfies StartedDemoTrack
    },
  }
}

function some(reason: string, count: number): Readonly<Record<string, number>> {
  return count === 0 ? {} : { [reason]: count }
}

/** Captures whole beeps, so that they have no gaps if this thread is late. `begun` gets the time of each. */
function beep(source: AudioSource, signal: AbortSignal, sent: () => void, begun: number[]): void {
  const frame = AudioFrame.create(RATE, 1, (RATE / 100) * BEEP)
  for (let at = 0; at < frame.data.length; at++)
    frame.data[at] = Math.round(AMPLITUDE * Math.sin((2 * Math.PI * HERTZ * at) / RATE))
  const capture = (): void => {
    begun.push(performance.now())
    // The source ends with the demo.
    source.captureFrame(frame).catch(() => undefined)
    for (let count = 0; count < BEEP; count++) sent()
  }
  capture()
  pace(BEEPS_PER_SECOND, signal, capture, 1)
}

async function listen(stream: AudioStream, tone: Tone, meter: Meter, begun: number[]): Promise<void> {
  for await (const { data } of stream) {
    const starts = tone.hear(data, RATE)
    if (starts === undefined) continue
    // Beeps that were lost whole have no beginning that was heard.
    const beginning = starts ? begun.splice(0).at(-1) : undefined
    const latency = beginning === undefined ? undefined : performance.now() - beginning
    meter.received(data.byteLength, latency)
  }
}

/** Subscribes to the publisher's tone, when it is there. */
function subscribedTo(room: Room, publisher: Room, signal: AbortSignal): Promise<RemoteAudioTrack> {
  return new Promise((resolve, reject) => {
    room.on(RoomEvent.TrackPublished, (publication: RemoteTrackPublication, { identity }) => {
      if (identity !== publisher.localParticipant.identity || publication.trackName !== NAME) return
      publication.setSubscribed(true)
    })
    room.on(RoomEvent.TrackSubscribed, (track, { trackName }) => {
      if (trackName === NAME) resolve(track)
    })
    room.on(RoomEvent.TrackSubscriptionFailed, (_, __, reason) =>
      reject(new Error(`the subscription to the tone failed: ${reason}`)),
    )
    room.once(RoomEvent.Disconnected, () => reject(new Error('the room closed before the tone was there')))
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}
