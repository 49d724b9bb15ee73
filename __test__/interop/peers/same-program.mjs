// A program for `@livekit/rtc-node`: the same one runs on the SDK itself and on `node-datatrack/rtc-node`.
// Arguments: the module of the room that is watched, the module of the other room, the server's URL, and three tokens:
// of the watched participant, of the other one, and again of the watched one.
// It writes what the watched room does to the file descriptor 3, a line of JSON for each step.
import { once } from 'node:events'
import { writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'

const [watched, others, url, token, otherToken, sameToken] = process.argv.slice(2)
const load = createRequire(import.meta.url)
const rtc = load(watched)
const other = load(others)
const RATE = 48_000
const TONE = 1000

/** The events of this step. */
let events = []
const waiting = new Set()

function changed() {
  for (const look of waiting) look()
}

function tell(event, ...args) {
  events.push([event, ...args])
  changed()
}

/** Waits until the step has had this event, so many times. */
async function seen(event, times = 1) {
  for (;;) {
    if (events.filter(([name]) => name === event).length >= times) return
    await new Promise((resolve) => {
      const look = () => {
        waiting.delete(look)
        resolve()
      }
      waiting.add(look)
    })
  }
}

/** Server's IDs differ from run to run, and times too. */
const shape = (value) =>
  JSON.parse(
    JSON.stringify(value, (key, each) => {
      if (typeof each === 'bigint') return `${each}n`
      if (typeof each === 'string') return each.replace(/\b(TR_\w{2}|PA_|RM_)\w+/g, '$1…')
      return key === 'timestamp' || key === 'editTimestamp' ? typeof each : each
    }) ?? 'null',
  )

function step(name, result) {
  writeSync(3, `${JSON.stringify(shape({ step: name, events, result }))}\n`)
  events = []
}

const participant = (one) =>
  one === undefined
    ? null
    : {
        type: one.constructor.name,
        identity: one.identity,
        sid: one.sid,
        name: one.name,
        metadata: one.metadata,
        attributes: one.attributes,
        kind: one.kind,
        kindDetails: one.kindDetails,
        // What `@livekit/agents` reads of it.
        info: [one.info.identity, one.info.kind],
        tracks: one.trackPublications.size,
      }
const publication = (one) => ({
  type: one.constructor.name,
  sid: one.sid,
  name: one.name,
  kind: one.kind,
  source: one.source,
  simulcasted: one.simulcasted,
  // rtc-node does not know that of its own tracks, and publishes with RED.
  mimeType: one.subscribed === undefined ? null : one.mimeType.replace('red', 'opus'),
  muted: one.muted,
  encryptionType: one.encryptionType,
  subscribed: one.subscribed ?? null,
})
const track = (one) => ({
  type: one.constructor.name,
  sid: one.sid,
  name: one.name,
  kind: one.kind,
  muted: one.muted,
})
const info = ({ streamId, ...rest }) => ({ ...rest, streamId: typeof streamId })

/** Tells of the room's events. */
function watch(room) {
  room.on('connectionStateChanged', (state) => tell('connectionStateChanged', state))
  room.on('reconnecting', () => tell('reconnecting'))
  room.on('reconnected', () => tell('reconnected'))
  room.on('disconnected', (reason) => tell('disconnected', reason))
  room.on('participantConnected', (one) => tell('participantConnected', participant(one)))
  room.on('participantDisconnected', (one) =>
    tell('participantDisconnected', one.identity, one.disconnectReason),
  )
  room.on('participantMetadataChanged', (text, one) => tell('participantMetadataChanged', text, one.identity))
  room.on('participantNameChanged', (text, one) => tell('participantNameChanged', text, one.identity))
  room.on('participantAttributesChanged', (changes, one) =>
    tell('participantAttributesChanged', changes, one.identity, one.attributes),
  )
  room.on('trackPublished', (one, from) => tell('trackPublished', publication(one), from.identity))
  room.on('trackUnpublished', (one, from) => tell('trackUnpublished', one.sid, from.identity))
  room.on('trackSubscribed', (one, where, from) =>
    tell('trackSubscribed', track(one), publication(where), from.identity, where.track === one),
  )
  room.on('trackUnsubscribed', (one, where, from) =>
    tell('trackUnsubscribed', track(one), where.sid, from.identity, where.track ?? null, where.subscribed),
  )
  room.on('trackMuted', (one, from) => tell('trackMuted', one.sid, one.muted, from.identity))
  room.on('trackUnmuted', (one, from) => tell('trackUnmuted', one.sid, one.muted, from.identity))
  room.on('localTrackPublished', (one, from) => tell('localTrackPublished', publication(one), from.identity))
  // rtc-node's event has no publication if the program has unpublished the track.
  room.on('localTrackUnpublished', (_, from) => tell('localTrackUnpublished', from.identity))
  room.on('localTrackSubscribed', (one) => tell('localTrackSubscribed', track(one)))
  room.on('localTrackRepublished', (one, previous, from) =>
    tell('localTrackRepublished', one.sid !== previous, from.identity),
  )
  room.on('dataReceived', (payload, from, kind, topic) =>
    tell('dataReceived', Buffer.from(payload).toString(), from?.identity ?? null, kind, topic ?? null),
  )
  room.on('chatMessage', ({ id, message }, from) => tell('chatMessage', typeof id, message, from?.identity))
  room.on('dtmfReceived', (code, digit, from) => tell('dtmfReceived', code, digit, from.identity))
}

const room = new rtc.Room()
const peer = new other.Room()

const before = [
  room.isConnected,
  room.connectionState,
  room.name ?? null,
  room.localParticipant ?? null,
  await room.getSid(),
]
watch(room)

await room.connect(url, token, { autoSubscribe: true, dynacast: false })
step('connect', {
  before,
  isConnected: room.isConnected,
  state: room.connectionState,
  name: room.name,
  sid: (await room.getSid()).slice(0, 3),
  local: participant(room.localParticipant),
  others: [...room.remoteParticipants.keys()],
})

await peer.connect(url, otherToken, { autoSubscribe: true, dynacast: false })
await seen('participantConnected')
step('another participant joins', {
  same: room.remoteParticipants.get('other') instanceof rtc.RemoteParticipant,
  isParticipant: room.localParticipant instanceof rtc.Participant,
})

/** Plays a sine until it is stopped. */
function sine(sdk, source) {
  const state = { stopped: false }
  state.ended = (async () => {
    for (let at = 0; !state.stopped; at += 480) {
      const frame = sdk.AudioFrame.create(RATE, 1, 480)
      for (let index = 0; index < 480; index++)
        frame.data[index] = 12_000 * Math.sin((2 * Math.PI * TONE * (at + index)) / RATE)
      await source.captureFrame(frame)
    }
  })().catch((error) => tell('error', String(error)))
  return state
}

/** The share of a frame's energy that the tone has. */
function share({ data, sampleRate }) {
  let [real, imaginary, energy] = [0, 0, 0]
  for (const [index, sample] of data.entries()) {
    const angle = (2 * Math.PI * TONE * index) / sampleRate
    real += sample * Math.cos(angle)
    imaginary += sample * Math.sin(angle)
    energy += sample * sample
  }
  return energy === 0 ? 0 : (2 * (real * real + imaginary * imaginary)) / (data.length * energy)
}

/** Reads until a fifth of a second of frames in a row has the tone. Returns the frames' shape. */
async function hear(sdk, remote, ...options) {
  let row = 0
  let shown
  for await (const frame of new sdk.AudioStream(remote, ...options)) {
    const { data, sampleRate, channels, samplesPerChannel, userdata } = frame
    shown = { type: frame.constructor.name, sampleRate, channels, samplesPerChannel, userdata }
    shown.owns = data.byteOffset === 0 && data.buffer.byteLength === 2 * channels * samplesPerChannel
    row = share(frame) > 0.9 ? row + 1 : 0
    if (row >= sampleRate / samplesPerChannel / 5) break
  }
  return shown
}

const source = new other.AudioSource(RATE, 1)
const sent = await peer.localParticipant.publishTrack(
  other.LocalAudioTrack.createAudioTrack('tone', source),
  new other.TrackPublishOptions({ source: other.TrackSource.SOURCE_MICROPHONE }),
)
await seen('trackSubscribed')
const remote = room.remoteParticipants.get('other')
const [heard] = remote.trackPublications.values()
step('another participant publishes a track', {
  published: participant(remote),
  publication: publication(heard),
})

const playing = sine(other, source)
const frames = [await hear(rtc, heard.track)]
frames.push(await hear(rtc, heard.track, { sampleRate: 16_000, numChannels: 1, frameSizeMs: 20 }))
frames.push(await hear(rtc, heard.track, 24_000, 1))
step('it is heard', frames)

const reader = new rtc.AudioStream(heard.track).getReader()
heard.setSubscribed(false)
await seen('trackUnsubscribed')
let last = await reader.read()
while (!last.done) last = await reader.read()
step('unsubscribe', { done: last.done, track: heard.track ?? null, subscribed: heard.subscribed })

heard.setSubscribed(true)
await seen('trackSubscribed')
step('subscribe again', publication(heard))

const own = new rtc.AudioSource(24_000, 1)
const ownTrack = rtc.LocalAudioTrack.createAudioTrack('own', own)
const unpublished = [ownTrack.name, ownTrack.kind, ownTrack.muted]
const silent = own.queuedDuration
await own.waitForPlayout()
const heardByOther = once(peer, 'trackSubscribed')
const mine = await room.localParticipant.publishTrack(
  ownTrack,
  new rtc.TrackPublishOptions({ source: rtc.TrackSource.SOURCE_MICROPHONE }),
)
await mine.waitForSubscription()
await seen('localTrackSubscribed')
await seen('localTrackPublished')
const [theirs] = await heardByOther
for (let at = 0; at < 24_000; at += 240) {
  const frame = rtc.AudioFrame.create(24_000, 1, 240)
  await own.captureFrame(frame)
}
const queued = own.queuedDuration > 0
own.clearQueue()
const cleared = own.queuedDuration
await own.waitForPlayout()
await own.captureFrame(rtc.AudioFrame.create(24_000, 1, 0))
const wrong = await own.captureFrame(rtc.AudioFrame.create(16_000, 1, 160)).then(
  () => 'taken',
  () => 'refused',
)
events.sort(([one], [two]) => (one < two ? -1 : 1))
step('publish', {
  unpublished,
  silent,
  mine: publication(mine),
  track: track(ownTrack),
  same: mine.track === ownTrack,
  listed: room.localParticipant.trackPublications.get(mine.sid) === mine,
  theirs: track(theirs),
  queued,
  cleared,
  wrong,
})

await room.localParticipant.unpublishTrack(mine.sid)
await seen('localTrackUnpublished')
await own.close()
const closed = await own.captureFrame(rtc.AudioFrame.create(24_000, 1, 240)).then(
  () => 'taken',
  () => 'refused',
)
step('unpublish', { listed: room.localParticipant.trackPublications.size, track: mine.track ?? null, closed })

await peer.localParticipant.publishData(Buffer.from('reliable'), { reliable: true, topic: 'topic' })
await seen('dataReceived')
await peer.localParticipant.publishData(Buffer.from('to one'), {
  reliable: true,
  destination_identities: ['watched'],
})
await seen('dataReceived', 2)
const answers = []
peer.on('dataReceived', (payload, from, kind, topic) =>
  answers.push([Buffer.from(payload).toString(), from.identity, kind, topic ?? null]),
)
const answered = once(peer, 'dataReceived')
await room.localParticipant.publishData(Buffer.from('back'), { reliable: true, topic: 'other topic' })
await answered
step('data packets', answers)

room.localParticipant.registerRpcMethod('old', () => Promise.resolve('never'))
room.localParticipant.registerRpcMethod('old', (data) =>
  Promise.resolve(`${data.callerIdentity} ${data.method} ${data.payload} ${typeof data.requestId}`),
)
room.localParticipant.registerRpcMethod('failing', () => {
  throw new rtc.RpcError(101, 'no', 'details')
})
room.localParticipant.registerRpcMethod('broken', () => {
  throw new Error('secret')
})
peer.localParticipant.registerRpcMethod('there', ({ payload }) => Promise.resolve(payload.toUpperCase()))
const call = (from, destinationIdentity, method) =>
  from.localParticipant
    .performRpc({ destinationIdentity, method, payload: 'hello', responseTimeout: 5000 })
    .then(
      (payload) => ({ payload }),
      ({ code, message, data }) => ({ code, message, data: data || null }),
    )
const calls = {}
for (const method of ['old', 'failing', 'broken', 'missing'])
  calls[method] = await call(peer, 'watched', method)
calls.there = await call(room, 'other', 'there')
room.localParticipant.unregisterRpcMethod('old')
calls.removed = await call(peer, 'watched', 'old')
calls.isError = await room.localParticipant
  .performRpc({ destinationIdentity: 'other', method: 'nothing', payload: '' })
  .catch((error) => [error instanceof rtc.RpcError, error.code === rtc.RpcError.ErrorCode.UNSUPPORTED_METHOD])
step('calls', calls)

const streams = []
const arrived = new Map()
const received = (what) =>
  new Promise((resolve) => {
    arrived.set(what, resolve)
  })
room.registerTextStreamHandler('texts', async (stream, from) => {
  const all = await stream.readAll()
  arrived.get('texts')({ info: info(stream.info), all, from })
})
room.registerTextStreamHandler('pieces', async (stream, from) => {
  let all = ''
  for await (const piece of stream) all += piece
  arrived.get('pieces')({ info: info(stream.info), all, from })
})
room.registerByteStreamHandler('bytes', async (stream, from) => {
  const all = await stream.readAll()
  arrived.get('bytes')({ info: info(stream.info), all: Buffer.concat(all).toString(), from })
})
let twice = 'taken'
try {
  room.registerTextStreamHandler('texts', () => {})
} catch {
  twice = 'refused'
}
const { localParticipant: sender } = peer
for (const [topic, send] of [
  ['texts', () => sender.sendText('a text', { topic: 'texts', attributes: { a: 'b' } })],
  [
    'pieces',
    async () => {
      const writer = await sender.streamText({ topic: 'pieces', destinationIdentities: ['watched'] })
      await writer.write('one ')
      await writer.write('two')
      await writer.close()
    },
  ],
  [
    'bytes',
    async () => {
      const writer = await sender.streamBytes({ topic: 'bytes', name: 'file.bin', totalSize: 5 })
      await writer.write(Buffer.from('bytes'))
      await writer.close()
    },
  ],
]) {
  const stream = received(topic)
  await send()
  streams.push(await stream)
}
const folder = mkdtempSync(join(tmpdir(), 'same-program-'))
writeFileSync(join(folder, 'file.txt'), 'of a file')
const file = received('bytes')
await sender.sendFile(join(folder, 'file.txt'), { topic: 'bytes', mimeType: 'text/plain' })
streams.push(await file)
rmSync(folder, { recursive: true })
step('streams that arrive', { streams, twice })

const written = []
peer.registerTextStreamHandler('texts', async (stream, from) => {
  written.push({ info: info(stream.info), all: await stream.readAll(), from })
  changed()
})
peer.registerByteStreamHandler('bytes', async (stream, from) => {
  written.push({ info: info(stream.info), all: Buffer.concat(await stream.readAll()).toString(), from })
  changed()
})
const mySent = await room.localParticipant.sendText('mine', { topic: 'texts' })
while (written.length < 1) await new Promise((resolve) => waiting.add(resolve))
const myText = await room.localParticipant.streamText({ topic: 'texts', attributes: { of: 'mine' } })
await myText.write('in pieces')
await myText.close()
while (written.length < 2) await new Promise((resolve) => waiting.add(resolve))
const myBytes = await room.localParticipant.streamBytes({ topic: 'bytes' })
await myBytes.write(Buffer.from('raw'))
await myBytes.close()
while (written.length < 3) await new Promise((resolve) => waiting.add(resolve))
step('streams that are sent', { written, infos: [mySent, myText.info, myBytes.info].map(info) })

await peer.localParticipant.updateMetadata('metadata')
await seen('participantMetadataChanged')
await peer.localParticipant.updateName('name')
await seen('participantNameChanged')
await peer.localParticipant.setAttributes({ one: '1', two: '2' })
await seen('participantAttributesChanged')
await peer.localParticipant.setAttributes({ one: '' })
await seen('participantAttributesChanged', 2)
step('another participant changes', participant(remote))

await peer.localParticipant.publishDtmf(1, '1')
await seen('dtmfReceived')
await peer.localParticipant.sendChatMessage('hello')
await seen('chatMessage')
step('messages')

await room.simulateScenario(rtc.SimulateScenarioKind.SIMULATE_SIGNAL_RECONNECT)
await seen('reconnected')
await seen('connectionStateChanged', 2)
step('resume', room.isConnected)

playing.stopped = true
await playing.ended
await peer.localParticipant.unpublishTrack(sent.sid)
await seen('trackUnpublished')
step('another participant unpublishes', participant(remote))
await source.close()

await peer.disconnect()
await seen('participantDisconnected')
step('another participant leaves', { others: room.remoteParticipants.size, reason: remote.disconnectReason })

const rival = new other.Room()
const [gone] = await Promise.all([
  once(room, 'disconnected'),
  rival.connect(url, sameToken, { autoSubscribe: true }),
])
step('another participant takes the identity', {
  reason: rtc.DisconnectReason[gone[0]],
  isConnected: room.isConnected,
  state: room.connectionState,
})

// Again, with a participant that is there already, and has published.
const announced = once(rival, 'trackSubscribed')
const old = new other.Room()
await old.connect(url, otherToken, { autoSubscribe: true, dynacast: false })
await old.localParticipant.publishTrack(
  other.LocalAudioTrack.createAudioTrack('tone', new other.AudioSource(RATE, 1)),
  new other.TrackPublishOptions({ source: other.TrackSource.SOURCE_MICROPHONE }),
)
await announced
await rival.disconnect()
events = []
const again = new rtc.Room()
const byMaps = []
watch(again)
await again.connect(url, token, { autoSubscribe: true, dynacast: false })
for (const one of again.remoteParticipants.values())
  byMaps.push(participant(one), ...[...one.trackPublications.values()].map(publication))
await seen('trackSubscribed')
step('join a participant with a track', byMaps)

const kept = rtc.LocalAudioTrack.createAudioTrack('kept', new rtc.AudioSource(RATE, 1))
const keptPublication = await again.localParticipant.publishTrack(
  kept,
  new rtc.TrackPublishOptions({ source: rtc.TrackSource.SOURCE_MICROPHONE }),
)
await seen('localTrackSubscribed')
const { sid } = keptPublication
events = []
await again.simulateScenario(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
await seen('reconnected')
await seen('localTrackRepublished')
// rtc-node tells of the new SID before `reconnected`, this package after it.
const order = events.map(([name]) => name).filter((name) => /^(conn|rec)/.test(name))
events = []
step('rebuild', {
  order,
  isNew: keptPublication.sid !== sid,
  listed: again.localParticipant.trackPublications.get(keptPublication.sid) === keptPublication,
  size: again.localParticipant.trackPublications.size,
  track: kept.sid === keptPublication.sid,
})

const listeners = again.listenerCount('disconnected')
// rtc-node was seen to hang if it disconnects while a session is still being rebuilt. So data has to come first.
const carried = seen('dataReceived').then(() => true)
for (let there = false; !there;) {
  await old.localParticipant.publishData(Buffer.from('again'), { reliable: true })
  there = await Promise.race([carried, new Promise((resolve) => setTimeout(resolve, 100, false))])
}
await again.disconnect()
// The subscriptions of the rebuilt session may still have come.
events = events.filter(([name]) => !/^(trackS|trackP|localTrackS|dataR)/.test(name))
step('disconnect', {
  isConnected: again.isConnected,
  listeners,
  left: again.listenerCount('disconnected'),
  sid: await again.getSid(),
})
await old.disconnect()

const alone = new rtc.Room()
await alone.connect(url, token, { autoSubscribe: true, dynacast: false })
const unheard = await alone.localParticipant.publishTrack(
  rtc.LocalAudioTrack.createAudioTrack('unheard', new rtc.AudioSource(RATE, 1)),
  new rtc.TrackPublishOptions({ source: rtc.TrackSource.SOURCE_MICROPHONE }),
)
let waits = 'waits'
unheard.waitForSubscription().then(
  () => (waits = 'was subscribed to'),
  (error) => (waits = String(error)),
)
await alone.disconnect()
await new Promise(setImmediate)
step('disconnect while a track waits for its first subscription', waits)

await rtc.dispose()
await other.dispose()
step('end')
