// What a browser's page runs: livekit-client as a participant that publishes tones.

/* global LivekitClient, AudioContext, Worker */

LivekitClient.setLogLevel('silent')

const RATE = 48_000
const published = new Map()
let room

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

globalThis.peer = {
  async join({ url, token, passphrase }) {
    const options = {}
    if (passphrase !== null) {
      const keyProvider = new LivekitClient.ExternalE2EEKeyProvider()
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
  async unpublish({ name }) {
    await room.localParticipant.unpublishTrack(published.get(name))
  },
  async mute({ name, muted }) {
    const publication = room.localParticipant.getTrackPublicationByName(name)
    await (muted ? publication.mute() : publication.unmute())
  },
}
