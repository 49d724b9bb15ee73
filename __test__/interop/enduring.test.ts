/** Audio goes on when the connection is resumed, rebuilt, or has its path renewed: the same objects, and the tone. */
import { beforeAll, describe, expect, it } from 'vitest'
import { AudioStream, debug } from '../../index'
import type { RemoteAudioTrack, Room } from '../../index'
import { closes, senderCloses } from '../helpers/audio-stats'
import { SignalProxy } from '../helpers/signal-proxy'
import { Tone } from '../helpers/tone'
import { withServer } from '../helpers/with-server'
import { pythonTones, rtcNodeTones, share } from './peers/tones'
import { next, stages } from './peers/stage'

const server = withServer()
const staged = stages(server, { autoSubscribe: true })

/** How often each of the faults happens. 20 is the long form. */
const ROUNDS = Number(process.env['ENDURING_ROUNDS'] ?? 2)

/** The tones of the peer and of the room. */
const [THEIRS, OURS] = [440, 1000]

interface Fault {
  readonly name: string
  readonly cause: (room: Room, proxy: SignalProxy) => Promise<void> | void
  /** Whether a new session follows. */
  readonly rebuilds: boolean
}

const faults: readonly Fault[] = [
  { name: 'a resume', cause: (room) => room.simulateScenario('signal-reconnect'), rebuilds: false },
  { name: 'a restart of ICE', cause: (room) => void room.reconnectNow(), rebuilds: false },
  {
    name: 'a resume that is cut off',
    cause: (room) => room.simulateScenario('disconnect-signal-on-resume-no-messages'),
    rebuilds: false,
  },
  {
    name: 'a resume that the server does not confirm',
    cause: (room, proxy) => {
      void proxy.keepBack('reconnect')
      return room.simulateScenario('signal-reconnect')
    },
    rebuilds: true,
  },
  { name: 'a loss of everything', cause: (room) => room.simulateScenario('full-reconnect'), rebuilds: true },
  { name: 'a request to rebuild', cause: (_, proxy) => proxy.sendAway('reconnect'), rebuilds: true },
]

/** What a stream that is read all the time has heard. */
class Ear {
  readonly stream: AudioStream
  readonly #reading: Promise<void>
  #tones = 0

  constructor(track: RemoteAudioTrack) {
    this.stream = new AudioStream(track, { frameSizeMs: 100 })
    this.#reading = this.#read()
  }

  /** Resolves when so much was decoded from now on, and the tone was heard again after that. */
  async hears(): Promise<void> {
    const { packetsDecoded } = this.stream.stats()
    while (this.stream.stats().packetsDecoded < packetsDecoded + 20) await this.#turn()
    const tones = this.#tones
    while (this.#tones < tones + 2) await this.#turn()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stream.close()
    await this.#reading
  }

  async #turn(): Promise<void> {
    const over = this.#reading.then(() => {
      throw new Error('the stream has ended')
    })
    await Promise.race([over, new Promise((resolve) => setTimeout(resolve, 20))])
  }

  async #read(): Promise<void> {
    for await (const frame of this.stream) if (share(frame, THEIRS) > 0.8) this.#tones += 1
  }
}

beforeAll(() => {
  for (const sdk of [rtcNodeTones, pythonTones]) sdk.install()
}, 300_000)

describe.each([
  ['single', rtcNodeTones],
  ['dual', pythonTones],
] as const)('with %s peer connections', (peerConnections, sdk) => {
  it.each(faults)(
    `tracks and streams go on after $name, ${ROUNDS} times`,
    ({ cause, rebuilds }) =>
      staged(sdk, async ({ ours, peer, connect }) => {
        const proxy = await SignalProxy.start(server.url)
        const tone = new Tone('ours', [OURS])
        try {
          const [sections, ssrcs] = [proxy.audioSections(), proxy.ssrcs()]
          const subscribed = next(ours, 'trackSubscribed')
          await peer.publish('theirs', THEIRS)
          await connect({ peerConnections, autoSubscribe: true }, proxy.url)
          const local = await ours.localParticipant.publishTrack(tone.track)
          const [track, remote, publisher] = await subscribed
          await using ear = new Ear(track)
          await ear.hears()
          await peer.hear(tone.track, [OURS], 2)
          const ended: string[] = []
          for (const event of ['trackUnsubscribed', 'trackUnpublished', 'localTrackUnpublished'] as const)
            ours.on(event, () => ended.push(event))
          const republished: [unknown, string][] = []
          ours.on('localTrackRepublished', (...[publication, before]) =>
            republished.push([publication, before]),
          )
          const sids = [tone.track.sid]
          for (let round = 0; round < ROUNDS; round++) {
            const back = next(ours, 'reconnected')
            const again = rebuilds ? next(ours, 'localTrackRepublished') : undefined
            await cause(ours, proxy)
            await Promise.all([back, again])
            if (rebuilds) sids.push(tone.track.sid)
            await ear.hears()
            await peer.hear(tone.track, [OURS], 2)
            const { trackPublications } = ours.localParticipant
            expect([...trackPublications]).toEqual([[tone.track.sid, local]])
            expect([...publisher.trackPublications]).toEqual([[track.sid, remote]])
            expect([remote.track, local.isPublished, track.isEnded]).toEqual([track, true, false])
            expect(ear.stream.stats()).toSatisfy(closes)
            expect(local.stats()).toSatisfy(senderCloses)
          }
          expect(new Set(sids).size).toBe(rebuilds ? ROUNDS + 1 : 1)
          expect(republished).toEqual(sids.slice(0, -1).map((sid) => [local, sid]))
          expect(ended).toEqual([])
          const { resumes, rebuilds: rebuilt } = ours.stats()
          expect(rebuilds ? rebuilt : resumes).toBeGreaterThanOrEqual(ROUNDS)
          if (!rebuilds) expect(rebuilt).toBe(0)
          // One for each direction.
          expect(Math.max(0, ...sections)).toBeLessThanOrEqual(2)
          expect(Math.max(0, ...ssrcs)).toBeLessThanOrEqual(2)
          expect(ear.stream.stats().packetsUndecryptable).toBe(0)
        } finally {
          await tone.close()
          await proxy.close()
        }
        await ours.disconnect()
        const kinds = new Set(['audioStream', 'audioSource', 'connection'])
        expect(debug.handles().filter(({ kind }) => kinds.has(kind))).toEqual([])
      }),
    30_000 + ROUNDS * 10_000,
  )
})
