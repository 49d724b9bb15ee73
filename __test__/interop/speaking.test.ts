/** Audio tracks of this package, heard by LiveKit's other SDKs, through a real server. */
import { TrackSource } from 'livekit-server-sdk'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { AudioStream, debug, ExternalE2EEKeyProvider, Room } from '../../index'
import type { RoomOptions, TrackPublishOptions } from '../../index'
import { senderCloses } from '../helpers/audio-stats'
import { SignalProxy } from '../helpers/signal-proxy'
import { AMPLITUDE, Tone } from '../helpers/tone'
import { withServer } from '../helpers/with-server'
import { chromiumTones, pythonTones, rtcNodeTones, share } from './peers/tones'
import { next, stages } from './peers/stage'
import type { Stage } from './peers/stage'

const server = withServer()
const staged = stages(server, {})

/** How long, and how often, a counter is looked at, in ms. */
const TIMES = { timeout: 20_000, interval: 20 }

/** How often a track is published and unpublished. */
const ROUNDS = Number(process.env['SPEAKING_ROUNDS'] ?? 50)

/** How loud a sine of that amplitude is. */
const LEVEL = AMPLITUDE / Math.SQRT2 / 32_767

/** Runs `use` with a published tone. */
async function speaking(
  ours: Room,
  tone: Tone,
  use: () => Promise<void>,
  options?: TrackPublishOptions,
): Promise<void> {
  try {
    await ours.localParticipant.publishTrack(tone.track, options)
    await use()
  } finally {
    await tone.close()
  }
}

const sdks = [rtcNodeTones, pythonTones]

beforeAll(() => {
  for (const sdk of sdks) sdk.install()
}, 300_000)

describe.each(sdks)('$name', (sdk) => {
  it.each(['single', 'dual'] as const)('hears a tone, with %s peer connections', (peerConnections) =>
    staged(sdk, async ({ ours, peer, connect }) => {
      await connect({ peerConnections })
      const published = next(ours, 'localTrackPublished')
      const subscribed = next(ours, 'localTrackSubscribed')
      const tone = new Tone('tone', [440])
      await speaking(ours, tone, async () => {
        const [publication, participant] = await published
        expect(participant).toBe(ours.localParticipant)
        expect([...participant.trackPublications]).toEqual([[publication.trackSid, publication]])
        expect(publication).toMatchObject({
          trackName: 'tone',
          kind: 'audio',
          source: 'microphone',
          isMuted: false,
          isPublished: true,
        })
        expect(tone.track.sid).toBe(publication.trackSid)
        const level = await peer.hear(tone.track, [440])
        expect(level).toBeGreaterThan(0.8 * LEVEL)
        expect(level).toBeLessThan(1.2 * LEVEL)
        expect(await subscribed).toEqual([publication, ours.localParticipant])
        await publication.waitForSubscription()
        const before = publication.stats()
        expect(before).toSatisfy(senderCloses)
        const { publisherStats } = await ours.getRtcStats()
        expect(publisherStats).toMatchObject([
          { type: 'outbound-rtp', kind: 'audio', trackIdentifier: publication.trackSid, active: true },
        ])
        expect(publisherStats[0]!.packetsSent).toBeGreaterThanOrEqual(before.packetsSent)
      })
      expect(debug.handles().filter(({ kind }) => kind === 'audioSource')).toEqual([])
    }),
  )

  it('hears frames of any rate and length', () =>
    staged(sdk, async ({ ours, peer, connect }) => {
      await connect()
      for (const [sampleRate, frameMs] of [
        [8000, 10],
        [16_000, 30],
        [24_000, 100],
        [44_100, 10],
        [48_000, 500],
      ] as const) {
        const tone = new Tone(`tone at ${sampleRate}`, [440], sampleRate, frameMs)
        await speaking(ours, tone, async () => {
          await peer.hear(tone.track, [440], 3)
        })
      }
    }))

  it('hears silence while a track is muted', () =>
    staged(sdk, async ({ ours, peer, connect }) => {
      await connect()
      const tone = new Tone('tone', [440])
      await speaking(ours, tone, async () => {
        await peer.hear(tone.track, [440])
        for (let time = 0; time < 3; time++) {
          tone.track.mute()
          await peer.silence(tone.track)
          tone.track.unmute()
          await peer.hear(tone.track, [440])
        }
      })
    }))
})

describe('two channels', () => {
  it('are heard as two', () =>
    staged(pythonTones, async ({ ours, peer, connect }) => {
      await connect()
      const tone = new Tone('tones', [440, 1000])
      await speaking(ours, tone, async () => {
        await peer.hear(tone.track, [440, 1000])
      })
    }))
})

it('ten tracks are heard, each with its tone', () =>
  staged(rtcNodeTones, async ({ ours, peer, connect }) => {
    await connect()
    const tones = Array.from({ length: 10 }, (_, index) => 300 + 100 * index)
    const tracks = tones.map((tone) => new Tone(`tone ${tone}`, [tone]))
    try {
      await Promise.all(tracks.map(({ track }) => ours.localParticipant.publishTrack(track)))
      expect(ours.localParticipant.trackPublications.size).toBe(10)
      for (const [index, { track }] of tracks.entries()) await peer.hear(track, [tones[index]!], 2)
    } finally {
      for (const track of tracks) await track.close()
    }
  }))

describe.each(['single', 'dual'] as const)('with %s peer connections', (peerConnections) => {
  it(
    `a track that is published and unpublished ${ROUNDS} times uses two sections at most`,
    () =>
      staged(rtcNodeTones, async ({ ours, peer, connect }) => {
        const proxy = await SignalProxy.start(server.url)
        const sections = proxy.audioSections()
        const tone = new Tone('tone', [440])
        try {
          await connect({ peerConnections }, proxy.url)
          for (let time = 0; time < ROUNDS; time++) {
            await ours.localParticipant.publishTrack(tone.track)
            if (time % 10 === 9) await peer.hear(tone.track, [440], 1)
            await ours.localParticipant.unpublishTrack(tone.track)
          }
          expect(sections.length).toBeGreaterThan(ROUNDS / 2)
          expect(Math.max(...sections)).toBeLessThanOrEqual(2)
        } finally {
          await tone.close()
          await proxy.close()
        }
      }),
    ROUNDS * 2000 + 30_000,
  )

  it('a track is heard in a section whose former track has ended some offers ago', () =>
    staged(rtcNodeTones, async ({ ours, peer, connect }) => {
      const proxy = await SignalProxy.start(server.url)
      const sections = proxy.audioSections()
      const tone = new Tone('tone', [440])
      try {
        await connect({ peerConnections, autoSubscribe: true }, proxy.url)
        for (let time = 0; time < 3; time++) {
          await ours.localParticipant.publishTrack(tone.track)
          await peer.hear(tone.track, [440], 1)
          await ours.localParticipant.unpublishTrack(tone.track)
          // With one peer connection, there is an offer for the subscription, and another one for its end.
          const subscribed = next(ours, 'trackSubscribed')
          await peer.publish('other', 330)
          await subscribed
          const ended = next(ours, 'trackUnsubscribed')
          await peer.unpublish('other')
          await ended
        }
        expect(Math.max(...sections)).toBeLessThanOrEqual(peerConnections === 'single' ? 3 : 2)
      } finally {
        await tone.close()
        await proxy.close()
      }
    }))
})

describe('tracks that are published during connect', () => {
  it('need no request of their own, also in a rebuilt connection', () =>
    staged(rtcNodeTones, async ({ ours, peer, connect }) => {
      await connect()
      const proxy = await SignalProxy.start(server.url)
      const requests: unknown[] = []
      proxy.onRequest(({ message }) => requests.push(message.case))
      const other = new Room()
      const tone = new Tone('tone', [440])
      try {
        const connecting = other.connect(proxy.url, await server.token(ours.name, 'other'))
        const publishing = other.localParticipant.publishTrack(tone.track)
        await connecting
        await publishing
        await peer.hear(tone.track, [440])
        const republished = next(other, 'localTrackRepublished')
        await other.simulateScenario('full-reconnect')
        await republished
        await peer.hear(tone.track, [440])
        expect(requests).not.toContain('addTrack')
        expect(requests).not.toContain('offer')
      } finally {
        await tone.close()
        await other.disconnect()
        await proxy.close()
      }
    }))

  it.each(['single', 'dual'] as const)('are heard, with %s peer connections', (peerConnections) =>
    staged(rtcNodeTones, async ({ ours, peer, connect }) => {
      await connect()
      const other = new Room()
      const token = await server.token(ours.name, 'other')
      const tones = [300, 400, 500, 600, 700].map((tone) => ({ tone, source: new Tone(`${tone}`, [tone]) }))
      try {
        const connecting = other.connect(server.url, token, { peerConnections })
        const all = tones.map(({ source }) => other.localParticipant.publishTrack(source.track))
        await connecting
        await Promise.all(all)
        for (const { tone, source } of tones) await peer.hear(source.track, [tone], 2)
      } finally {
        for (const { source } of tones) await source.close()
        await other.disconnect()
      }
    }),
  )
})

describe('the server', () => {
  it('mutes a track, and removes it', () =>
    staged(pythonTones, async ({ ours, peer, connect }) => {
      await connect()
      const tone = new Tone('tone', [440])
      await speaking(ours, tone, async () => {
        await peer.hear(tone.track, [440])
        const muted = next(ours, 'trackMuted')
        await server.admin.mutePublishedTrack(ours.name, 'ours', tone.track.sid!, true)
        const [publication, participant] = await muted
        expect([publication.isMuted, participant]).toEqual([true, ours.localParticipant])
        await peer.silence(tone.track)
        tone.track.unmute()
        await peer.hear(tone.track, [440])
        const gone = next(ours, 'localTrackUnpublished')
        await server.admin.updateParticipant(ours.name, 'ours', undefined, {
          canPublish: false,
          canSubscribe: true,
          canPublishData: true,
        })
        expect(await gone).toEqual([publication, ours.localParticipant])
        const refused = ours.localParticipant.publishTrack(tone.track)
        await expect(refused).rejects.toMatchObject({ reason: 'notAllowed' })
      })
    }))

  it('says who speaks', () =>
    staged(rtcNodeTones, async ({ ours, peer, connect }) => {
      await connect()
      const tone = new Tone('tone', [440])
      await speaking(ours, tone, async () => {
        await peer.hear(tone.track, [440], 1)
        const speaks = (): boolean => ours.localParticipant.isSpeaking
        while (!speaks()) await next(ours, 'activeSpeakersChanged')
        expect(ours.activeSpeakers).toEqual([ours.localParticipant])
        expect(ours.localParticipant.audioLevel).toBeGreaterThan(0)
        tone.track.mute()
        while (speaks()) await next(ours, 'activeSpeakersChanged')
      })
    }))
})

it('two rooms of this package hear each other', () =>
  staged(rtcNodeTones, async ({ ours, connect }) => {
    await connect()
    const other = new Room()
    const subscribed = next(other, 'trackSubscribed')
    await other.connect(server.url, await server.token(ours.name, 'other'), { autoSubscribe: true })
    await speaking(ours, new Tone('tone', [440, 1000]), async () => {
      const [track] = await subscribed
      let row = 0
      for await (const frame of new AudioStream(track, { numChannels: 2, frameSizeMs: 100 })) {
        row = share(frame, 440, 0) > 0.8 && share(frame, 1000, 1) > 0.8 ? row + 1 : 0
        if (row === 5) break
      }
      expect(row).toBe(5)
    })
    await other.disconnect()
  }))

describe('livekit-client in Chromium', () => {
  it.each([
    ['mono', [440], 0.8],
    ['stereo', [440, 1000], 0.8],
  ] as const)('hears a %s track', (_, tones, share) =>
    staged(chromiumTones, async ({ ours, peer, connect }) => {
      await connect()
      const tone = new Tone('tone', tones)
      await speaking(ours, tone, async () => {
        const level = await peer.hear(tone.track, tones)
        expect(level).toBeGreaterThan(share * LEVEL)
        tone.track.mute()
        await peer.silence(tone.track)
        tone.track.unmute()
        await peer.hear(tone.track, tones)
      })
    }),
  )
})

describe.each([...sdks, chromiumTones])('an encrypted track, heard by $name', (sdk) => {
  const PASSPHRASE = 'correct horse battery staple'

  /** A room with that passphrase, or with none yet, publishes 440 Hz. */
  const encrypted = (
    passphrase: string | undefined,
    use: (stage: Stage & { tone: Tone; keyProvider: ExternalE2EEKeyProvider }) => Promise<void>,
  ): Promise<void> => {
    const keyProvider = new ExternalE2EEKeyProvider()
    const options: RoomOptions = { encryption: { keyProvider } }
    const started = async (stage: Stage): Promise<void> => {
      if (passphrase !== undefined) await keyProvider.setKey(passphrase)
      await stage.connect()
      const tone = new Tone('tone', [440])
      await speaking(stage.ours, tone, () => use({ ...stage, tone, keyProvider }))
    }
    return staged(sdk, started, options, PASSPHRASE)
  }

  it('has its tone, also with another key, and after a rebuild', () =>
    encrypted(PASSPHRASE, async ({ ours, peer, tone, keyProvider }) => {
      const publication = ours.localParticipant.trackPublications.get(tone.track.sid!)
      expect(publication?.isEncrypted).toBe(true)
      await peer.hear(tone.track, [440])
      expect(publication?.mimeType).toBe('audio/opus')
      // While the first key is derived, nothing is sent.
      const unitsFailed = publication?.stats().unitsFailed
      await peer.setKey('another one', 1)
      await keyProvider.setKey('another one', { keyIndex: 1 })
      await peer.hear(tone.track, [440], 10)
      const republished = next(ours, 'localTrackRepublished')
      await ours.simulateScenario('full-reconnect')
      await republished
      await peer.hear(tone.track, [440])
      expect(publication?.stats().unitsFailed).toBe(unitsFailed)
    }))

  it('is silent with another key than the hearer’s, and nothing is sent without one', () =>
    encrypted(undefined, async ({ ours, peer, tone, keyProvider }) => {
      const publication = ours.localParticipant.trackPublications.get(tone.track.sid!)!
      await vi.waitUntil(() => publication.stats().unitsFailed > 20, TIMES)
      expect(publication.stats()).toMatchObject({ packetsSent: 0, bytesSent: 0 })
      await keyProvider.setKey('a wrong one')
      while (publication.stats().packetsSent < 50) await peer.silence(tone.track, 5)
      await peer.silence(tone.track, 5)
      await keyProvider.setKey(PASSPHRASE)
      // rtc-node and Python were seen to stay silent then. Whether they do so among themselves is not known.
      if (sdk === chromiumTones) await peer.hear(tone.track, [440])
    }))
})

it('a room of this package hears an encrypted track as soon as both have the same key', () => {
  const keyProvider = new ExternalE2EEKeyProvider()
  return staged(
    rtcNodeTones,
    async ({ ours, connect }) => {
      await keyProvider.setKey('a wrong one')
      await connect()
      const theirs = new ExternalE2EEKeyProvider()
      await theirs.setKey('a right one')
      const other = new Room({ encryption: { keyProvider: theirs } })
      const subscribed = next(other, 'trackSubscribed')
      await other.connect(server.url, await server.token(ours.name, 'other'), { autoSubscribe: true })
      await speaking(ours, new Tone('tone', [440]), async () => {
        const [track] = await subscribed
        const stream = new AudioStream(track, { frameSizeMs: 100 })
        let row = 0
        for await (const frame of stream) {
          const { packetsDecoded, packetsUndecryptable } = stream.stats()
          if (packetsDecoded === 0 && packetsUndecryptable > 20) await keyProvider.setKey('a right one')
          row = share(frame, 440) > 0.8 ? row + 1 : 0
          if (row === 5) break
        }
        expect(row).toBe(5)
        expect(stream.stats().packetsInvalid).toBe(0)
      })
      await other.disconnect()
    },
    { encryption: { keyProvider } },
  )
})

it('a room that is not encrypted does not hear an encrypted track', () =>
  staged(
    rtcNodeTones,
    async ({ ours, connect }) => {
      await connect()
      const other = new Room()
      const published = next(other, 'trackPublished')
      await other.connect(server.url, await server.token(ours.name, 'other'))
      await speaking(ours, new Tone('tone', [440]), async () => {
        const [publication] = await published
        expect(publication.isEncrypted).toBe(true)
        const failed = next(other, 'trackSubscriptionFailed')
        publication.setSubscribed(true)
        expect((await failed)[2]).toBe('noDecryption')
      })
      await other.disconnect()
    },
    { encryption: { keyProvider: new ExternalE2EEKeyProvider() } },
  ))

it.each([true, false])('a track has RED: %s', (red) =>
  staged(rtcNodeTones, async ({ ours, peer, connect }) => {
    await connect()
    const tone = new Tone('tone', [440])
    const hear = async (): Promise<void> => {
      const publication = ours.localParticipant.trackPublications.get(tone.track.sid!)
      await peer.hear(tone.track, [440])
      expect(publication?.mimeType).toBe(red ? 'audio/red' : 'audio/opus')
    }
    await speaking(ours, tone, hear, { red })
  }),
)

it('a token for a camera alone refuses a microphone', async () => {
  const ours = new Room()
  const token = await server.token('sources', 'ours', { grant: { canPublishSources: [TrackSource.CAMERA] } })
  await ours.connect(server.url, token)
  const tone = new Tone('tone', [440])
  try {
    const refused = ours.localParticipant.publishTrack(tone.track)
    await expect(refused).rejects.toMatchObject({ reason: 'notAllowed' })
  } finally {
    await tone.close()
    await ours.disconnect()
  }
})
