/** Audio between two rooms of this package, through a real server: filters, mixers and statistics. */
import { describe, expect, it } from 'vitest'
import {
  AudioFrame,
  AudioMixer,
  AudioSource,
  AudioStream,
  FrameProcessor,
  LocalAudioTrack,
  RoomEvent,
} from '../../index'
import type { LocalTrackPublication, Room } from '../../index'
import { closes, senderCloses } from '../helpers/audio-stats'
import { event, Scene } from '../helpers/scene'
import { heard, toneOf } from '../helpers/tones'
import { withServer } from '../helpers/with-server'

const server = withServer()

/** Publishes tones, each as a track, that last until `use` has returned. */
async function playing(
  room: Room,
  tones: readonly number[],
  use: (publications: LocalTrackPublication[]) => Promise<void>,
): Promise<void> {
  const sources = tones.map(() => new AudioSource(48_000, 1, 200))
  const play = async (source: AudioSource, tone: number): Promise<void> => {
    const second = toneOf(tone, 48_000, 1000)
    while (!source.isClosed) await source.captureFrame(second).catch(() => {})
  }
  const playings = sources.map((source, index) => play(source, tones[index]!))
  try {
    const tracks = sources.map((source, index) =>
      LocalAudioTrack.createAudioTrack(`tone ${tones[index]}`, source),
    )
    await use(await Promise.all(tracks.map((track) => room.localParticipant.publishTrack(track))))
  } finally {
    await Promise.all(sources.map((source) => source.close()))
    await Promise.all(playings)
  }
}

/** Takes frames until `enough` of a second of them. */
async function until(
  frames: AsyncIterable<AudioFrame>,
  enough: (frame: AudioFrame) => boolean,
): Promise<void> {
  for await (const frame of frames) if (enough(frame)) return
}

/** Two rooms. The second one hears what the first one publishes. */
const rooms = (use: (alice: Room, bob: Room) => Promise<void>) => (): Promise<void> =>
  Scene.with(server, async (scene) => {
    const bob = await scene.join('bob', { connect: { autoSubscribe: true } })
    await use(await scene.join('alice'), bob)
  })

/** The halves of a sound: each sample of it by 2. */
class Halves extends FrameProcessor {
  readonly infos: unknown[] = []
  isEnabled = (): boolean => true
  setEnabled = (): void => {}
  close = (): void => {}
  override onStreamInfoUpdated(info: unknown): void {
    this.infos.push(info)
  }
  override onCredentialsUpdated({ url, token }: { url: string; token: string }): void {
    this.infos.push(new URL(url).origin, token.split('.').length)
  }
  process(frame: AudioFrame): AudioFrame {
    return new AudioFrame(
      frame.data.map((sample) => sample / 2),
      frame.sampleRate,
      1,
      frame.samplesPerChannel,
    )
  }
}

describe('audio between two rooms', () => {
  it(
    'is mixed: two tracks of a participant are one stream with both tones',
    rooms(async (alice, bob) => {
      const mixer = new AudioMixer(48_000, 1)
      bob.on(RoomEvent.TrackSubscribed, (track) => mixer.addStream(new AudioStream(track)))
      await playing(alice, [440, 1000], () =>
        until(mixer, (frame) => [440, 1000].every((tone) => heard(frame, tone).share > 0.4)),
      )
      await mixer.aclose()
    }),
  )

  it(
    'passes the filter of its stream',
    rooms(async (alice, bob) => {
      const filter = new Halves()
      const subscribed = event(bob, RoomEvent.TrackSubscribed)
      await playing(alice, [440], async ([publication]) => {
        const [track] = await subscribed
        await using stream = new AudioStream(track, { noiseCancellation: filter, frameSizeMs: 100 })
        await until(stream, (frame) => {
          const { share, level } = heard(frame, 440)
          return share > 0.99 && level > 4500 && level < 5500
        })
        expect(filter.infos).toEqual([
          { roomName: bob.name, participantIdentity: 'alice', publicationSid: publication!.trackSid },
          new URL(server.url).origin,
          3,
        ])
      })
    }),
  )

  it(
    'is counted at both ends, and the counters add up',
    rooms(async (alice, bob) => {
      const subscribed = event(bob, RoomEvent.TrackSubscribed)
      await playing(alice, [440], async ([publication]) => {
        const { trackSid } = publication!
        const [track] = await subscribed
        await using stream = new AudioStream(track, { sampleRate: 24_000, frameSizeMs: 100 })
        await until(stream.values({ preventCancel: true }), (frame) => heard(frame, 440).share > 0.99)
        const [received] = (await bob.getRtcStats()).subscriberStats
        const stats = stream.stats()
        expect(stats).toSatisfy(closes)
        expect(received).toMatchObject({ type: 'inbound-rtp', kind: 'audio', trackIdentifier: trackSid })
        expect(received!.packetsReceived).toBeGreaterThan(4)
        expect(received!.packetsReceived).toBeLessThanOrEqual(stats.packetsReceived)
        expect(received!.totalSamplesDuration * 24_000).toBeCloseTo(received!.totalSamplesReceived, 3)
        expect(received!.concealedSamples).toBeGreaterThanOrEqual(received!.silentConcealedSamples)
        expect(Math.abs(received!.timestamp - Date.now())).toBeLessThan(60_000)
        expect((await alice.getRtcStats()).publisherStats).toMatchObject([
          { id: `outbound-rtp ${trackSid}`, trackIdentifier: trackSid, active: true },
        ])
        publication!.mute()
        const { publisherStats } = await alice.getRtcStats()
        expect(publisherStats[0]!.active).toBe(false)
        expect(publisherStats[0]!.bytesSent).toBeGreaterThan(publisherStats[0]!.packetsSent)
        await alice.localParticipant.unpublishTrack(publication!.track)
        const last = publication!.stats()
        expect(last).toSatisfy(senderCloses)
        expect(last.packetsQueued).toBe(0)
        expect((await alice.getRtcStats()).publisherStats).toEqual([])
      })
    }),
  )
})
