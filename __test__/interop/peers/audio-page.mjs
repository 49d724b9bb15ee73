// What a browser's page runs: livekit-client as a participant that publishes tones and hears those of others.

/* global LivekitClient, AudioContext, Worker, MediaStream, crypto */

LivekitClient.setLogLevel('silent')

const RATE = 48_000
const published = new Map()
/** How to play a tone on a silent track, by its name. */
const voices = new Map()
/** What is heard of each track, by its SID. */
const ears = new Map()
let room
let keyProvider

/** A track with a sine for each channel. It is what a microphone's track is for the SDK. */
function microphone(tones) {
  const context = new AudioContext({ sampleRate: RATE })
  const destination = context.createMediaStreamDestination()
  destination.channelCount = tones.length
  const merger = context.createChannelMerger(tones.length)
  merger.connect(destination)
  for (const [channel, frequency] of tones.entries()) {
    const oscillator = context.createOscillator()
    oscillator.frequency.value = frequency
    oscillator.connect(merger, 0, channel)
    oscillator.start()
  }
  return destination.stream.getAudioTracks()[0]
}

/** A track that is silent, and how to play a tone on it, for so many ms. */
function silentMicrophone() {
  const context = new AudioContext({ sampleRate: RATE })
  const destination = context.createMediaStreamDestination()
  destination.channelCount = 1
  const say = async (tone, ms) => {
    const oscillator = context.createOscillator()
    oscillator.frequency.value = tone
    oscillator.connect(destination)
    const ended = new Promise((resolve) => (oscillator.onended = resolve))
    oscillator.start()
    oscillator.stop(context.currentTime + ms / 1000)
    await ended
  }
  return { track: destination.stream.getAudioTracks()[0], say }
}

/** The remote track of that SID, subscribed to. */
async function subscribed(sid) {
  for (;;) {
    for (const participant of room.remoteParticipants.values()) {
      const publication = participant.trackPublications.get(sid)
      if (publication?.track !== undefined) return publication.track
      publication?.setSubscribed(true)
    }
    await new Promise((changed) => {
      for (const event of ['trackPublished', 'trackSubscribed']) room.once(event, changed)
    })
  }
}

/** An analyser for each of two channels of a track. Chromium decodes a track only if an element plays it. */
async function earOf(sid) {
  const track = await subscribed(sid)
  const known = ears.get(sid)
  if (known?.track === track) return known.analysers
  track.attach().muted = true
  const context = new AudioContext({ sampleRate: RATE })
  const splitter = context.createChannelSplitter(2)
  context.createMediaStreamSource(new MediaStream([track.mediaStreamTrack])).connect(splitter)
  const analysers = [0, 1].map((channel) => {
    const analyser = context.createAnalyser()
    analyser.fftSize = 8192
    splitter.connect(analyser, channel)
    return analyser
  })
  ears.set(sid, { track, analysers })
  return analysers
}

/** The last 100 ms of each channel, again and again. */
async function* framesOf(sid, channels) {
  const analysers = await earOf(sid)
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    yield analysers.slice(0, channels).map((analyser) => {
      const data = new Float32Array(analyser.fftSize)
      analyser.getFloatTimeDomainData(data)
      return data.subarray(-RATE / 10)
    })
  }
}

const energyOf = (samples) => samples.reduce((sum, sample) => sum + sample * sample, 0)

/** The share of the energy that has that frequency. */
function share(samples, tone) {
  let [real, imaginary] = [0, 0]
  for (const [index, sample] of samples.entries()) {
    const angle = (2 * Math.PI * tone * index) / RATE
    real += sample * Math.cos(angle)
    imaginary += sample * Math.sin(angle)
  }
  const energy = energyOf(samples)
  return energy === 0 ? 0 : (2 * (real * real + imaginary * imaginary)) / (samples.length * energy)
}

globalThis.peer = {
  async hear({ sid, tones, frames }) {
    let row = 0
    for await (const frame of framesOf(sid, tones.length)) {
      row = tones.every((tone, channel) => share(frame[channel], tone) > 0.8) ? row + 1 : 0
      if (row === frames) return Math.sqrt(energyOf(frame[0]) / frame[0].length)
    }
  },
  async silence({ sid, frames }) {
    let row = 0
    for await (const [samples] of framesOf(sid, 1)) {
      row = samples.every((sample) => Math.abs(sample) < 0.003) ? row + 1 : 0
      if (row === frames) return
    }
  },
  async setKey({ passphrase, index }) {
    const given = new TextEncoder().encode(passphrase)
    const key = await crypto.subtle.importKey('raw', given, 'PBKDF2', false, ['deriveBits', 'deriveKey'])
    keyProvider.onSetEncryptionKey(key, undefined, index)
  },
  async join({ url, token, passphrase }) {
    const options = {}
    if (passphrase !== null) {
      keyProvider = new LivekitClient.ExternalE2EEKeyProvider()
      const worker = new Worker('/livekit-client.e2ee.worker.mjs', { type: 'module' })
      options.encryption = { keyProvider, worker }
      await keyProvider.setKey(passphrase)
    }
    room = new LivekitClient.Room(options)
    if (passphrase !== null) await room.setE2EEEnabled(true)
    await room.connect(url, token, { autoSubscribe: false })
  },
  async publish({ name, tones }) {
    const track = microphone(tones)
    const source = LivekitClient.Track.Source.Microphone
    const options = { name, source, forceStereo: tones.length === 2 }
    const { trackSid } = await room.localParticipant.publishTrack(track, options)
    published.set(name, track)
    return trackSid
  },
  async microphone({ name }) {
    const { track, say } = silentMicrophone()
    const source = LivekitClient.Track.Source.Microphone
    const { trackSid } = await room.localParticipant.publishTrack(track, { name, source })
    published.set(name, track)
    voices.set(name, say)
    return trackSid
  },
  say: ({ name, tone, ms }) => voices.get(name)(tone, ms),
  async unpublish({ name }) {
    await room.localParticipant.unpublishTrack(published.get(name))
  },
  async mute({ name, muted }) {
    const publication = room.localParticipant.getTrackPublicationByName(name)
    await (muted ? publication.mute() : publication.unmute())
  },
}
