// A participant of `@livekit/rtc-node` that publishes tones and hears those of others. The argument is the folder in which the SDK is installed.
// It reads lines of JSON, `[command, argument]`, and answers each with a line on the file descriptor 3.
import { writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'

const load = createRequire(join(resolve(process.argv[2]), 'package.json'))
const rtc = load('@livekit/rtc-node')

const RATE = 48_000
const room = new rtc.Room()
const published = new Map()

/** A second of sines, one for each channel. Their frequencies are whole, so it can be repeated. */
function sines(tones) {
  const second = new Int16Array(RATE * tones.length)
  for (let index = 0; index < RATE; index++) {
    for (const [channel, tone] of tones.entries())
      second[index * tones.length + channel] = 12_000 * Math.sin((2 * Math.PI * tone * index) / RATE)
  }
  return second
}

/** Feeds a source with a second of sound, again and again, until it is stopped. */
async function play(source, second, channels, state) {
  const samples = RATE / 50
  for (let at = 0; !state.stopped; at = (at + samples) % RATE) {
    const data = second.slice(at * channels, (at + samples) * channels)
    await source.captureFrame(new rtc.AudioFrame(data, RATE, channels, samples))
  }
}

/** The share of a channel's energy that has that frequency. */
function share({ data, channels, samplesPerChannel }, tone, channel) {
  let [real, imaginary, energy] = [0, 0, 0]
  for (let index = 0; index < samplesPerChannel; index++) {
    const sample = data[index * channels + channel]
    const angle = (2 * Math.PI * tone * index) / RATE
    real += sample * Math.cos(angle)
    imaginary += sample * Math.sin(angle)
    energy += sample * sample
  }
  return energy === 0 ? 0 : (2 * (real * real + imaginary * imaginary)) / (samplesPerChannel * energy)
}

/** The track of that SID, subscribed to. */
async function subscribed(sid) {
  for (;;) {
    for (const participant of room.remoteParticipants.values()) {
      for (const publication of participant.trackPublications.values()) {
        if (publication.sid !== sid) continue
        if (publication.track !== undefined) return publication.track
        publication.setSubscribed(true)
      }
    }
    await new Promise((changed) => {
      room.once('trackPublished', changed)
      room.once('trackSubscribed', changed)
    })
  }
}

/** Frames of a track, from now on. */
async function* framesOf(track, numChannels, frameSizeMs = 100) {
  const reader = new rtc.AudioStream(track, { sampleRate: RATE, numChannels, frameSizeMs }).getReader()
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value
  } finally {
    await reader.cancel()
  }
}

const commands = {
  async hear({ sid, tones, frames }) {
    let row = 0
    for await (const frame of framesOf(await subscribed(sid), tones.length)) {
      row = tones.every((tone, channel) => share(frame, tone, channel) > 0.8) ? row + 1 : 0
      if (row < frames) continue
      let squares = 0
      for (const sample of frame.data) squares += sample * sample
      return Math.sqrt(squares / frame.data.length) / 32_767
    }
    throw new Error('the track has ended')
  },
  async listen({ sid, tone, frames, frameSizeMs }) {
    let [heard, count] = [0, 0]
    for await (const frame of framesOf(await subscribed(sid), 1, frameSizeMs)) {
      if (share(frame, tone, 0) > 0.8) heard += 1
      if ((count += 1) === frames) return heard
    }
    throw new Error('the track has ended')
  },
  async setKey({ passphrase, index }) {
    room.e2eeManager.keyProvider.setSharedKey(new TextEncoder().encode(passphrase), index)
  },
  async silence({ sid, frames }) {
    let row = 0
    for await (const { data } of framesOf(await subscribed(sid), 1)) {
      row = data.every((sample) => Math.abs(sample) < 100) ? row + 1 : 0
      if (row === frames) return
    }
  },
  async join({ url, token, passphrase }) {
    const options = { autoSubscribe: false, dynacast: false }
    if (passphrase !== null) {
      const keyProviderOptions = {
        ...rtc.defaultKeyProviderOptions,
        sharedKey: new TextEncoder().encode(passphrase),
      }
      options.encryption = { keyProviderOptions, encryptionType: rtc.EncryptionType.GCM }
    }
    await room.connect(url, token, options)
  },
  async publish({ name, tones }) {
    const second = sines(tones)
    const source = new rtc.AudioSource(RATE, tones.length)
    const track = rtc.LocalAudioTrack.createAudioTrack(name, source)
    const options = new rtc.TrackPublishOptions({ source: rtc.TrackSource.SOURCE_MICROPHONE })
    const { sid } = await room.localParticipant.publishTrack(track, options)
    const state = { stopped: false, sid }
    void play(source, second, tones.length, state).catch(() => {})
    published.set(name, state)
    return sid
  },
  async microphone({ name }) {
    const source = new rtc.AudioSource(RATE, 1)
    const track = rtc.LocalAudioTrack.createAudioTrack(name, source)
    const options = new rtc.TrackPublishOptions({ source: rtc.TrackSource.SOURCE_MICROPHONE })
    const { sid } = await room.localParticipant.publishTrack(track, options)
    published.set(name, { source, sid })
    return sid
  },
  async say({ name, tone, ms }) {
    const { source } = published.get(name)
    await source.captureFrame(
      new rtc.AudioFrame(sines([tone]).slice(0, (RATE / 1000) * ms), RATE, 1, (RATE / 1000) * ms),
    )
    await source.waitForPlayout()
  },
  async unpublish({ name }) {
    const state = published.get(name)
    state.stopped = true
    await room.localParticipant.unpublishTrack(state.sid)
  },
}

for await (const line of createInterface(process.stdin)) {
  const [command, argument] = JSON.parse(line)
  let answer
  try {
    answer = { result: await commands[command](argument) }
  } catch (error) {
    answer = { error: String(error) }
  }
  writeSync(3, `${JSON.stringify(answer)}\n`)
}
for (const state of published.values()) state.stopped = true
await room.disconnect()
await rtc.dispose()
process.exit()
