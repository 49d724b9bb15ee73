/** Audio tracks of LiveKit's other SDKs, heard by a room of this package, through a real server. */
import { beforeAll, describe, expect, it } from 'vitest'
import { AudioStream, debug, ExternalE2EEKeyProvider, RoomEvent } from '../../index'
import type { AudioStreamOptions, RemoteAudioTrack, RemoteTrackPublication, Room } from '../../index'
import { closes } from '../helpers/audio-stats'
import { SignalProxy } from '../helpers/signal-proxy'
import { withServer } from '../helpers/with-server'
import { chromiumTones, isSilent, pythonTones, rtcNodeTones, share } from './peers/tones'
import { next, stages } from './peers/stage'
import type { Stage } from './peers/stage'

const server = withServer()
const staged = stages(server, { autoSubscribe: true })

/** Reads until the tone was heard in so many frames in a row. They are of 100 ms, which tell 1 % apart. */
async function hears(
  track: RemoteAudioTrack,
  tones: readonly number[],
  options: AudioStreamOptions = {},
  count = 5,
): Promise<void> {
  const stream = new AudioStream(track, { numChannels: tones.length, ...options, frameSizeMs: 100 })
  let row = 0
  for await (const frame of stream) {
    const heard = tones.every((tone, channel) => share(frame, tone, channel) > 0.8)
    row = heard ? row + 1 : 0
    if (row === count) return
  }
  throw new Error('the track has ended')
}

const sdks = [rtcNodeTones, pythonTones]

beforeAll(() => {
  for (const sdk of sdks) sdk.install()
}, 300_000)

describe.each(sdks)('a track of $name', (sdk) => {
  it.each(['single', 'dual'] as const)('has its tone, with %s peer connections', (peerConnections) =>
    staged(sdk, async ({ ours, peer, connect }) => {
      await connect({ peerConnections, autoSubscribe: true })
      const [published, subscribed] = [next(ours, 'trackPublished'), next(ours, 'trackSubscribed')]
      const sid = await peer.publish('tone', 440)
      const [publication, publisher] = await published
      expect(publisher.identity).toBe('peer')
      expect(publication).toMatchObject({
        trackSid: sid,
        trackName: 'tone',
        kind: 'audio',
        source: 'microphone',
        isMuted: false,
        isEncrypted: false,
      })
      expect([...publisher.trackPublications]).toEqual([[sid, publication]])
      const [track] = await subscribed
      expect(track).toBe(publication.track)
      await hears(track, [440])
    }),
  )

  it('that is there before is heard at each rate, by streams at the same time', () =>
    staged(sdk, async ({ ours, peer, connect }) => {
      await peer.publish('tone', 440)
      const subscribed = next(ours, 'trackSubscribed')
      await connect()
      const [track] = await subscribed
      const rates = [8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000]
      await Promise.all(rates.map((sampleRate) => hears(track, [440], { sampleRate })))
      await Promise.all([hears(track, [440]), hears(track, [440, 440])])
    }))

  // Both SDKs encode a source of two channels as one.
  it('of two channels has both tones, each with half of the energy, in both channels', () =>
    staged(sdk, async ({ ours, peer, connect }) => {
      await connect()
      const subscribed = next(ours, 'trackSubscribed')
      await peer.publish('tones', 440, 1000)
      const [track] = await subscribed
      let row = 0
      for await (const frame of new AudioStream(track, { numChannels: 2, frameSizeMs: 100 })) {
        const shares = [440, 1000].flatMap((tone) => [share(frame, tone, 0), share(frame, tone, 1)])
        row = shares.every((each) => each > 0.45 && each < 0.55) ? row + 1 : 0
        if (row === 5) break
      }
      expect(row).toBe(5)
    }))

  it('that is unpublished ends its streams, with counters that close', () =>
    staged(sdk, async ({ ours, peer, connect }) => {
      await connect()
      const subscribed = next(ours, 'trackSubscribed')
      await peer.publish('tone', 440)
      const [track, publication, publisher] = await subscribed
      const stream = new AudioStream(track)
      const reading = (async () => {
        let frames = 0
        for await (const frame of stream) frames += frame.samplesPerChannel === 480 ? 1 : 0
        return frames
      })()
      await hears(track, [440])
      const gone = [next(ours, 'trackUnsubscribed'), next(ours, 'trackUnpublished')]
      await peer.unpublish('tone')
      await Promise.all(gone)
      expect(await reading).toBe(stream.stats().framesDelivered)
      expect([track.isEnded, publication.track, publisher.trackPublications.size]).toEqual([
        true,
        undefined,
        0,
      ])
      const stats = stream.stats()
      expect(stats.packetsReceived).toBeGreaterThan(20)
      expect(closes(stats)).toBe(true)
      const samples = stats.samplesDecoded + stats.samplesConcealed + stats.samplesSilent
      expect(Math.floor(samples / 480)).toBe(stats.framesProduced)
      // A stream of a track that has ended has ended, too.
      expect((await new AudioStream(track).getReader().read()).done).toBe(true)
      expect(debug.handles().filter(({ kind }) => kind === 'audioStream')).toEqual([])
    }))
})

it.each([pythonTones, chromiumTones])('a muted track of $name is silent, and is heard again', (sdk) =>
  staged(sdk, async ({ ours, peer, connect }) => {
    await connect()
    const subscribed = next(ours, 'trackSubscribed')
    await peer.publish('tone', 440)
    const [track, publication] = await subscribed
    await hears(track, [440])
    const muted = next(ours, 'trackMuted')
    await peer.mute('tone', true)
    expect(await muted).toEqual([publication, ours.remoteParticipants.get('peer')])
    expect(publication.isMuted).toBe(true)
    let silent = 0
    for await (const frame of new AudioStream(track)) {
      silent = isSilent(frame) ? silent + 1 : 0
      if (silent === 50) break
    }
    const unmuted = next(ours, 'trackUnmuted')
    await peer.mute('tone', false)
    await unmuted
    expect(publication.isMuted).toBe(false)
    await hears(track, [440])
  }),
)

it('many tracks are heard at once, each with its own tone', () =>
  staged(rtcNodeTones, async ({ ours, peer, connect }) => {
    const tones = Array.from({ length: 10 }, (_, index) => 300 + 100 * index)
    const tracks = new Map<string, RemoteAudioTrack>()
    const all = new Promise<void>((resolve) => {
      ours.on(RoomEvent.TrackSubscribed, (track, { trackName }) => {
        tracks.set(trackName, track)
        if (tracks.size === tones.length) resolve()
      })
    })
    await connect()
    for (const tone of tones) await peer.publish(`tone ${tone}`, tone)
    await all
    await Promise.all(tones.map((tone) => hears(tracks.get(`tone ${tone}`)!, [tone])))
  }))

/** Subscribes to a track and unsubscribes so often. Each time the server asks for two offers. */
async function toggle(
  room: Room,
  publication: RemoteTrackPublication,
  times: number,
  heard: (track: RemoteAudioTrack) => Promise<void>,
): Promise<void> {
  for (let time = 0; time < times; time++) {
    const subscribed = next(room, 'trackSubscribed')
    publication.setSubscribed(true)
    const [track] = await subscribed
    await heard(track)
    const unsubscribed = next(room, 'trackUnsubscribed')
    publication.setSubscribed(false)
    await unsubscribed
    expect(track.isEnded).toBe(true)
  }
}

it(
  'a track that is subscribed to and unsubscribed from 50 times uses one section',
  () =>
    staged(rtcNodeTones, async ({ ours, peer, connect }) => {
      const proxy = await SignalProxy.start(server.url)
      const sections = proxy.audioSections()
      try {
        await peer.publish('tone', 440)
        const published = next(ours, 'trackPublished')
        await connect({}, proxy.url)
        const [publication] = await published
        await toggle(ours, publication, 50, (track) => hears(track, [440], {}, 1))
        expect(sections.length).toBeGreaterThanOrEqual(100)
        expect(new Set(sections)).toEqual(new Set([1]))
      } finally {
        await proxy.close()
      }
    }),
  180_000,
)

it('a track is heard although what the server asked for was lost with signalling', () =>
  staged(rtcNodeTones, async ({ ours, peer, connect }) => {
    const proxy = await SignalProxy.start(server.url)
    try {
      const published = next(ours, 'trackPublished')
      await connect({}, proxy.url)
      await peer.publish('tone', 440)
      const [publication] = await published
      const lost = proxy.keepBack('mediaSectionsRequirement')
      publication.setSubscribed(true)
      await lost
      const subscribed = next(ours, 'trackSubscribed')
      await ours.simulateScenario('signal-reconnect')
      await hears((await subscribed)[0], [440])
      expect(ours.stats()).toMatchObject({ resumes: 1, rebuilds: 0 })
    } finally {
      await proxy.close()
    }
  }))

it('without autoSubscribe nothing is subscribed to, and the server asks for no section', () =>
  staged(rtcNodeTones, async ({ ours, peer, connect }) => {
    const proxy = await SignalProxy.start(server.url)
    const asked: unknown[] = []
    proxy.onResponse(({ message }) => {
      if (message.case === 'mediaSectionsRequirement') asked.push(message.value)
    })
    try {
      await connect(undefined, proxy.url)
      await ours.disconnect()
      await connect({}, proxy.url)
      const published = next(ours, 'trackPublished')
      await peer.publish('tone', 440)
      const [publication] = await published
      expect([publication.isDesired, publication.isSubscribed]).toEqual([false, false])
      const subscribed = next(ours, 'trackSubscribed')
      expect(asked).toEqual([])
      publication.setSubscribed(true)
      await hears((await subscribed)[0], [440])
      expect(asked).toHaveLength(1)
    } finally {
      await proxy.close()
    }
  }))

it('a room that is end-to-end encrypted refuses a track that is not', () =>
  staged(
    rtcNodeTones,
    async ({ ours, peer, connect }) => {
      await connect()
      const published = next(ours, 'trackPublished')
      const sid = await peer.publish('tone', 440)
      const [publication, publisher] = await published
      expect(publication.isDesired).toBe(false)
      const failed = next(ours, 'trackSubscriptionFailed')
      publication.setSubscribed(true)
      expect(await failed).toEqual([sid, publisher, 'unencrypted'])
      expect(publication.isDesired).toBe(false)
    },
    { encryption: { keyProvider: new ExternalE2EEKeyProvider() } },
  ))

describe.each([...sdks, chromiumTones])('an encrypted track of $name', (sdk) => {
  const PASSPHRASE = 'correct horse battery staple'

  /** A room with that passphrase that hears the peer's track of 440 Hz. */
  const hearing = (
    passphrase: string,
    use: (scene: {
      stage: Stage
      track: RemoteAudioTrack
      keyProvider: ExternalE2EEKeyProvider
    }) => Promise<void>,
  ): Promise<void> => {
    const keyProvider = new ExternalE2EEKeyProvider()
    const started = async (stage: Stage): Promise<void> => {
      await keyProvider.setKey(passphrase)
      await stage.connect()
      const subscribed = next(stage.ours, 'trackSubscribed')
      await stage.peer.publish('tone', 440)
      const [track, publication] = await subscribed
      expect(publication.isEncrypted).toBe(true)
      await use({ stage, track, keyProvider })
    }
    return staged(sdk, started, { encryption: { keyProvider } }, PASSPHRASE)
  }

  it('is heard, and each of its packets is decrypted', () =>
    hearing(PASSPHRASE, async ({ track, stage }) => {
      const errors: unknown[] = []
      stage.ours.on(RoomEvent.EncryptionError, (error) => errors.push(error))
      const stream = new AudioStream(track)
      await hears(track, [440])
      // The server sends frames of its own when the track is muted, and when it is unpublished.
      if (sdk !== rtcNodeTones) {
        const muted = next(stage.ours, 'trackMuted')
        await stage.peer.mute('tone', true)
        await muted
        const unmuted = next(stage.ours, 'trackUnmuted')
        await stage.peer.mute('tone', false)
        await unmuted
        await hears(track, [440])
      }
      const gone = next(stage.ours, 'trackUnsubscribed')
      await stage.peer.unpublish('tone')
      await gone
      expect([stream.stats().packetsUndecryptable, errors]).toEqual([0, []])
      expect(stream.stats().packetsDecoded).toBeGreaterThan(20)
    }))

  it('is silent without its key, packets are counted, and it is heard as soon as the key is there', () =>
    hearing('another passphrase', async ({ track, stage, keyProvider }) => {
      const failed = next(stage.ours, 'encryptionError')
      const stream = new AudioStream(track)
      let frames = 0
      for await (const frame of stream.values({ preventCancel: true })) {
        expect(isSilent(frame)).toBe(true)
        if ((frames += 1) > 50 && stream.stats().packetsUndecryptable > 20) break
      }
      expect((await failed)[0]).toMatchObject({ reason: 'decryptionFailed', participantIdentity: 'peer' })
      // The server's own silence is the only thing that is decoded.
      expect(stream.stats().packetsInvalid).toBe(0)
      await keyProvider.setKey(PASSPHRASE)
      await hears(track, [440])
      stream.close()
    }))

  it('is refused by a room that is not encrypted', () =>
    staged(
      sdk,
      async ({ ours, peer, connect }) => {
        await connect()
        const published = next(ours, 'trackPublished')
        const sid = await peer.publish('tone', 440)
        const [publication, publisher] = await published
        const failed = next(ours, 'trackSubscriptionFailed')
        publication.setSubscribed(true)
        expect(await failed).toEqual([sid, publisher, 'noDecryption'])
      },
      {},
      PASSPHRASE,
    ))
})

describe('a track of livekit-client in Chromium', () => {
  it.each(['single', 'dual'] as const)('has its tone, with %s peer connections', (peerConnections) =>
    staged(chromiumTones, async ({ ours, peer, connect }) => {
      await connect({ peerConnections, autoSubscribe: true })
      const subscribed = next(ours, 'trackSubscribed')
      await peer.publish('tone', 440)
      const [track, publication] = await subscribed
      expect(publication.mimeType).toBe('audio/red')
      await hears(track, [440])
    }),
  )

  it('of two channels has a tone in each', () =>
    staged(chromiumTones, async ({ ours, peer, connect }) => {
      await connect()
      const subscribed = next(ours, 'trackSubscribed')
      await peer.publish('tones', 440, 1000)
      const [track] = await subscribed
      await hears(track, [440, 1000])
    }))
})
