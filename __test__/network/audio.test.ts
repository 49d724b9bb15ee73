/** An audio track through a network that loses and delays packets: what is repaired, what is concealed, what is heard. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { BadNetwork } from '../../scripts/lib/bad-network.cjs'
import type { AudioStreamStats } from '../../index'
import { closes } from '../helpers/audio-stats'
import { Child } from '../helpers/child'
import { LivekitServer } from '../helpers/livekit-server'
import { heard as heardOf } from '../helpers/tones'
import { rtcNodeTones } from '../interop/peers/tones'

const TONE = 440
/** Frames of 100 ms. */
const FRAMES = 50

const CONDITIONS = [
  { loss: 0, jitterMs: 0 },
  { loss: 0.01, jitterMs: 0 },
  { loss: 0.05, jitterMs: 0 },
  { loss: 0.1, jitterMs: 0 },
  { loss: 0.2, jitterMs: 0 },
  { loss: 0, jitterMs: 50 },
  { loss: 0, jitterMs: 200 },
  { loss: 0.05, jitterMs: 50 },
]

let network: BadNetwork
let server: LivekitServer
beforeAll(async () => {
  rtcNodeTones.install()
  network = await BadNetwork.start()
  server = await LivekitServer.start({ namespace: network.far })
}, 300_000)
afterAll(async () => {
  await server.stop()
  await network.close()
})

/** What a subscriber heard of some seconds. */
interface Heard {
  /** Frames with the tone. */
  readonly frames: number
  /** The stream's counters before, and after. */
  readonly before: AudioStreamStats
  readonly after: AudioStreamStats
}

/** A subscriber that tells what it has heard, each time that it is told to listen. */
const subscriber = (url: string, token: string) => `
  const heardOf = ${heardOf.toString()}
  const room = new datatrack.Room()
  const subscribed = new Promise((resolve) => room.once('trackSubscribed', resolve))
  await room.connect(${JSON.stringify(url)}, ${JSON.stringify(token)}, { autoSubscribe: true })
  const stream = new datatrack.AudioStream(await subscribed, { frameSizeMs: 100 })
  const reader = stream.getReader()
  say('subscribed')
  // The stream has to be read at all times.
  let told
  const listen = () => void hear().then((count) => { told = count })
  listen()
  while (told !== false) {
    await reader.read()
    if (!Number.isInteger(told)) continue
    const before = stream.stats()
    let frames = 0
    for (let count = 0; count < told; count++) {
      const { value } = await reader.read()
      if (heardOf(value, ${TONE}).share > 0.8) frames++
    }
    say({ frames, before, after: stream.stats() })
    told = undefined
    listen()
  }
  await room.disconnect()`

it('losses are repaired by what the next packet repeats, and what is left is concealed', async () => {
  const room = `audio-${process.pid}`
  const peer = await rtcNodeTones.start(network.far)
  try {
    await peer.join(server.url, await server.token(room, 'peer'), null)
    await peer.publish('tone', TONE)
    const source = subscriber(server.url, await server.token(room, 'ours'))
    await Child.with(source, { namespace: network.near }, async (child) => {
      expect(await child.next()).toBe('subscribed')
      const listen = async (frames: number): Promise<Heard> => {
        child.tell(frames)
        return child.next<Heard>()
      }
      for (const { loss, jitterMs } of CONDITIONS) {
        await network.set({ loss, jitterMs, delayMs: 10 })
        // The stream gets used to it.
        await listen(10)
        const heard = await listen(FRAMES)
        const what = `loss ${loss}, jitter ${jitterMs} ms: ${JSON.stringify(heard)}`
        expect(closes(heard.before) && closes(heard.after), what).toBe(true)
        const counted = (name: keyof AudioStreamStats): number => heard.after[name] - heard.before[name]
        const [lost, repaired] = [counted('packetsLost'), counted('packetsRepaired')]
        const concealed = counted('samplesConcealed') / (FRAMES * 4800)
        // What a packet repeats is of no use if it is lost, too.
        if (loss === 0 && jitterMs < 100) expect([lost, repaired, concealed], what).toEqual([0, 0, 0])
        else expect(concealed, what).toBeLessThan(Math.max(loss, 0.05))
        if (loss >= 0.05) expect(repaired, what).toBeGreaterThan(lost)
        expect(heard.frames, what).toBeGreaterThan(0.8 * FRAMES)
      }
      child.tell(false)
      expect(await child.end()).toEqual({ code: 0, stderr: '' })
    })
  } finally {
    await peer.close()
  }
}, 180_000)

/** A publisher of a tone for as long as it is not told to end. */
const publisher = (url: string, token: string, red: boolean) => `
  const room = new datatrack.Room()
  const source = new datatrack.AudioSource(48_000, 1, 0)
  const track = datatrack.LocalAudioTrack.createAudioTrack('tone', source)
  await room.connect(${JSON.stringify(url)}, ${JSON.stringify(token)})
  const { trackSid } = await room.localParticipant.publishTrack(track, { red: ${red} })
  let playing = true
  const played = (async () => {
    for (let at = 0; playing; at += 960) {
      const data = new Int16Array(960)
      for (let index = 0; index < 960; index++)
        data[index] = 12_000 * Math.sin((2 * Math.PI * ${TONE} * (at + index)) / 48_000)
      await source.captureFrame(new datatrack.AudioFrame(data, 48_000, 1, 960))
    }
  })()
  say(trackSid)
  await hear()
  playing = false
  await played
  await room.disconnect()
  await track.close()`

it.each([true, false])(
  'a published track is heard through losses, with RED: %s',
  async (red) => {
    const room = `published-${red}-${process.pid}`
    const peer = await rtcNodeTones.start(network.far)
    try {
      await network.set({ loss: 0, jitterMs: 0, delayMs: 10 })
      await peer.join(server.url, await server.token(room, 'peer'), null)
      const source = publisher(server.url, await server.token(room, 'ours'), red)
      await Child.with(source, { namespace: network.near }, async (child) => {
        const sid = await child.next<string>()
        for (const loss of [0, 0.05, 0.1]) {
          await network.set({ loss, jitterMs: 0, delayMs: 10 })
          // With RED, a packet is lost if the next one is, too: one of a hundred. Without, the other side conceals what it
          // cannot repair. The tone jumps there, which spoils at most two frames of 20 ms.
          const [share, frameMs] = red ? [0.9, 100] : [0.8, 20]
          const frames = (FRAMES * 100) / frameMs
          const heard = await peer.listen({ sid }, TONE, frames, frameMs)
          // The sound begins up to half a second behind the first frame.
          expect(heard, `loss ${loss}`).toBeGreaterThan(share * frames - 500 / frameMs)
        }
        child.tell(false)
        expect(await child.end()).toEqual({ code: 0, stderr: '' })
      })
    } finally {
      await peer.close()
    }
  },
  120_000,
)
