// A participant of this package, or of `@livekit/rtc-node`, that publishes tones or hears them. The arguments are `ours` or
// `rtc-node`, and the folder of the package. It reads lines of JSON, `[command, argument]`, and answers each with a line on
// the file descriptor 3. agent.py is the same in Python.
import { once } from 'node:events'
import { writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'

const [kind, folder] = process.argv.slice(2)
const ours = kind === 'ours'
const sdk = createRequire(join(folder, 'package.json'))(ours ? 'node-datatrack' : '@livekit/rtc-node')

const RATE = 48_000
/** ms between two subscriptions. */
const PAUSE = 500
/** A sample of a tone; silence has less. */
const LOUD = 1000
const room = new sdk.Room()
const { TrackPublished, TrackSubscribed, TrackUnsubscribed } = sdk.RoomEvent
const publications = []
/** What `talk` speaks into and hears. */
let voice, frames
room.on(TrackPublished, (publication) => publications.push(publication))

/** Feeds a source with a tone for as long as the program runs. */
async function play(source, tone) {
  const samples = RATE / 50
  for (let at = 0; ; at = (at + samples) % RATE) {
    const sample = (_, index) => 12_000 * Math.sin((2 * Math.PI * tone * (at + index)) / RATE)
    const data = Int16Array.from({ length: samples }, sample)
    await source.captureFrame(new sdk.AudioFrame(data, RATE, 1, samples))
  }
}

/** Reads a track to its end. `heard` is called once, with the first frame that is not silent. */
async function read(track, heard) {
  const stream = ours ? new sdk.AudioStream(track) : new sdk.AudioStream(track, RATE, 1)
  let told = false
  for await (const { data } of stream) {
    if (told || !data.some((sample) => sample > LOUD)) continue
    told = true
    heard()
  }
}

/** Publishes a source as a microphone. */
async function publish(name, queueSize) {
  const source = new sdk.AudioSource(RATE, 1, queueSize)
  const track = sdk.LocalAudioTrack.createAudioTrack(name, source)
  const options = ours ? {} : new sdk.TrackPublishOptions({ source: sdk.TrackSource.SOURCE_MICROPHONE })
  await room.localParticipant.publishTrack(track, options)
  return source
}

/** The time by the machine's clock, ms. */
const clock = () => performance.timeOrigin + performance.now()

const commands = {
  async join({ url, token }) {
    await room.connect(url, token, { autoSubscribe: false, dynacast: false })
    // rtc-node has no event for those that are there already.
    const there = [...room.remoteParticipants.values()].flatMap((one) => [...one.trackPublications.values()])
    for (const publication of there) if (!publications.includes(publication)) publications.push(publication)
  },
  async publish({ tones }) {
    for (const tone of tones) {
      void play(await publish(`tone ${tone}`), tone)
    }
  },
  /** Captures 10 ms at a time as a microphone does, with a tone at each second. Returns when each tone began, ms. */
  async speak({ seconds, queueSize }) {
    const source = await publish('beeps', queueSize)
    const samples = RATE / 100
    const begun = performance.now()
    const times = []
    for (let at = 0; at < 100 * seconds; at++) {
      await delay(Math.max(0, begun + 10 * at - performance.now()))
      const loud = at % 100 < 20
      const data = Int16Array.from({ length: samples }, (_, index) =>
        loud ? 12_000 * Math.sin((2 * Math.PI * 1000 * (at * samples + index)) / RATE) : 0,
      )
      if (at % 100 === 0) times.push(clock())
      source.captureFrame(new sdk.AudioFrame(data, RATE, 1, samples)).catch(() => {})
    }
    return times
  },
  /** Hears the beginnings of tones. Returns when each was heard, ms. */
  async beeps({ rounds }) {
    while (publications.length === 0) await once(room, TrackPublished)
    const subscribed = once(room, TrackSubscribed)
    publications[0].setSubscribed(true)
    const [track] = await subscribed
    const times = []
    let silent = 0
    for await (const { data } of ours ? new sdk.AudioStream(track) : new sdk.AudioStream(track, RATE, 1)) {
      if (!data.some((sample) => sample > LOUD)) silent += 1
      else {
        if (silent > 30) times.push(clock())
        silent = 0
      }
      if (times.length === rounds) return times
    }
    return times
  },
  /** Subscribes to one track and ends the subscription, so often. Returns the ms until the first sound, each time. */
  async onsets({ rounds }) {
    while (publications.length === 0) await once(room, TrackPublished)
    const [publication] = publications
    const times = []
    for (let round = 0; round < rounds; round++) {
      const subscribed = once(room, TrackSubscribed)
      const begun = performance.now()
      publication.setSubscribed(true)
      const [track] = await subscribed
      await new Promise((resolve) => void read(track, resolve))
      times.push(performance.now() - begun)
      const unsubscribed = once(room, TrackUnsubscribed)
      publication.setSubscribed(false)
      await unsubscribed
      // livekit-server makes changes wait that follow each other within 150 ms.
      await delay(PAUSE)
    }
    return times
  },
  /** Publishes a silent track, and subscribes to the track of an agent, for `talk`. */
  async meet() {
    voice = await publish('voice')
    while (publications.length === 0) await once(room, TrackPublished)
    const subscribed = once(room, TrackSubscribed)
    publications[0].setSubscribed(true)
    const [track] = await subscribed
    frames = (ours ? new sdk.AudioStream(track) : new sdk.AudioStream(track, RATE, 1)).getReader()
  },
  /** Says a tone, and waits for the tone of an answer, so often. Returns the ms between both, each time. */
  async talk({ rounds }) {
    const times = []
    for (let round = 0; round < rounds; round++) {
      const sample = (_, index) => 12_000 * Math.sin((2 * Math.PI * 450 * index) / RATE)
      const data = Int16Array.from({ length: RATE / 2 }, sample)
      let begun
      const said = voice
        .captureFrame(new sdk.AudioFrame(data, RATE, 1, data.length))
        .then(() => voice.waitForPlayout())
        .then(() => (begun = performance.now()))
      // The answer ends with half a second of silence.
      for (let [heard, silent] = [false, 0]; silent < 50 || !heard;) {
        const { data } = (await frames.read()).value
        const loud = data.some((each) => each > LOUD)
        if (loud && !heard) {
          await said
          times.push(performance.now() - begun)
          heard = true
        }
        silent = loud ? 0 : silent + 1
      }
    }
    return times
  },
  /** Subscribes to so many tracks. Returns when all are heard. */
  async hear({ count }) {
    while (publications.length < count) await once(room, TrackPublished)
    let all
    let heard = 0
    const done = new Promise((resolve) => (all = resolve))
    room.on(TrackSubscribed, (track) => void read(track, () => (heard += 1) === count && all()))
    for (const publication of publications) publication.setSubscribed(true)
    await done
  },
}

for await (const line of createInterface(process.stdin)) {
  const [command, argument] = JSON.parse(line)
  let answer
  try {
    answer = { result: (await commands[command](argument)) ?? null }
  } catch (error) {
    answer = { error: String(error) }
  }
  writeSync(3, `${JSON.stringify(answer)}\n`)
}
await room.disconnect()
process.exit()
