/** A listener may disconnect its room, and connect it again, whatever it is told. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AudioSource, LocalAudioTrack, Loopback, Room, RoomEvent } from '../../index'
import type { RoomEvents } from '../../index'
import { turn, until } from '../helpers/rooms'

type EventName = keyof RoomEvents
/** Gives a room a message of the server that the loopback does not send by itself. */
type Tell = (message: { case: string; value: unknown }) => void

let source: AudioSource
beforeAll(() => {
  source = new AudioSource(48_000, 1)
})
afterAll(() => source.close())

/** Everything that a room tells, in order. */
function heard(room: Room): string[] {
  const told: string[] = []
  for (const name of Object.values(RoomEvent)) {
    room.on(name, (...args: unknown[]) => told.push(describeEvent(name, args)))
  }
  return told
}

function describeEvent(name: EventName, [first]: readonly unknown[]): string {
  if (typeof first === 'string') return `${name} ${first}`
  const { identity } = (first ?? {}) as { readonly identity?: string }
  return identity === undefined ? name : `${name} ${identity}`
}

/** Others who are there before, each with a track, and what they and the server do that a room hears of. */
async function stage(sfu: Loopback): Promise<(tell: Tell) => Promise<void>> {
  // An agent may send transcriptions.
  const [alice, bob] = [sfu.join('alice', { kind: 'agent' }), sfu.join('bob', { autoSubscribe: true })]
  for (const room of [alice, bob]) await room.localParticipant.publishDataTrack({ name: 'track' })
  bob.on(RoomEvent.DataTrackPublished, (track) => {
    if (track.name === 'own') track.subscribe()
  })
  return async (tell) => {
    await alice.localParticipant.publishData(new Uint8Array(1), { reliable: true })
    await alice.localParticipant.sendChatMessage('hello')
    await alice.localParticipant.publishDtmf(1, '1')
    const transcription = { participantIdentity: 'alice', trackSid: 'TR_1', segments: [] }
    await alice.localParticipant.publishTranscription(transcription)
    alice.localParticipant.setTrackSubscriptionPermissions(false)
    alice.localParticipant.setTrackSubscriptionPermissions(true)
    await alice.localParticipant.setMetadata('m')
    await alice.localParticipant.setName('Alice')
    await alice.localParticipant.setAttributes({ a: '1' })
    sfu.updateRoomMetadata('r')
    tell({ case: 'roomUpdate', value: { room: { name: 'room', activeRecording: true } } })
    const { sid } = alice.localParticipant
    tell({ case: 'speakersChanged', value: { speakers: [{ sid, level: 1, active: true }] } })
    tell({ case: 'connectionQuality', value: { updates: [{ participantSid: sid, quality: 2 }] } })
    const more = await alice.localParticipant.publishDataTrack({ name: 'more' })
    await more.unpublish()
    const voice = LocalAudioTrack.createAudioTrack('voice', source)
    const publication = await alice.localParticipant.publishTrack(voice)
    for (let turns = 0; turns < 3; turns++) await turn()
    publication.mute()
    await turn()
    publication.unmute()
    await turn()
    tell({ case: 'subscriptionResponse', value: { trackSid: publication.trackSid, err: 1 } })
    await alice.localParticipant.unpublishTrack(voice)
    await turn()
    await alice.disconnect()
    await turn()
  }
}

/** Carol's room hears of all these, one after the other. */
async function live(sfu: Loopback, room: Room, others: Awaited<ReturnType<typeof stage>>): Promise<void> {
  sfu.join('carol', { room, autoSubscribe: true })
  await turn()
  room.remoteParticipants.get('alice')?.dataTracks.get('track')?.subscribe()
  await turn()
  // Each step may find the room disconnected, which is what is tested.
  const track = await room.localParticipant.publishDataTrack({ name: 'own' }).catch(() => undefined)
  // Bob subscribes, and the SFU tells.
  for (let turns = 0; turns < 5; turns++) await turn()
  await track?.unpublish()
  const voice = LocalAudioTrack.createAudioTrack('voice', source)
  await room.localParticipant.publishTrack(voice).catch(() => undefined)
  for (let turns = 0; turns < 3; turns++) await turn()
  await others((message) => room.engine.receive({ message }))
  room.engine.tokenRefreshed('a new token')
  try {
    await sfu.reconnect('carol', 'resume')
    await sfu.reconnect('carol', 'full')
    await room.localParticipant.unpublishTrack(voice)
    sfu.updateParticipant('carol', { permission: { canPublishData: false } })
    // The loopback moves no participant.
    const participant = { identity: 'carol', sid: 'PA_moved', state: 2 }
    const moved = { room: { name: 'other' }, participant, otherParticipants: [] }
    // Its session may still be leaving, while the room is in another one by now.
    if (room.remoteParticipants.has('bob'))
      room.engine.receive({ message: { case: 'roomMoved', value: moved } })
    await turn()
  } catch (error) {
    // Carol is not there any more.
    expect(error).toBeInstanceOf(RangeError)
  }
}

const events: readonly EventName[] = Object.values(RoomEvent).filter(
  (name) => name !== RoomEvent.EncryptionError && name !== RoomEvent.Disconnected,
)

describe('a listener that disconnects its room', () => {
  it.each(events)('in %s gets no event after disconnected, and has no participants', async (name) => {
    await using sfu = new Loopback()
    const others = await stage(sfu)
    const room = new Room()
    const told = heard(room)
    room.prependOnceListener(name, () => void room.disconnect())
    // Another listener of the same event, behind the one that disconnects.
    const states: string[] = []
    room.once(name, () => states.push(room.state))
    await live(sfu, room, others)
    await room.disconnect()
    expect(states).toHaveLength(1)
    expect(told.filter((event) => event.startsWith('disconnected'))).toEqual(['disconnected clientInitiated'])
    expect(told.at(-1)).toBe('disconnected clientInitiated')
    expect([...room.remoteParticipants.keys()]).toEqual([])
    // Who came also left, and no track is left behind.
    for (const [begin, end] of [
      ['participantConnected', 'participantDisconnected'],
      ['trackPublished', 'trackUnpublished'],
      ['trackSubscribed', 'trackUnsubscribed'],
      ['dataTrackPublished', 'dataTrackUnpublished'],
      ['localDataTrackPublished', 'localDataTrackUnpublished'],
      ['localTrackPublished', 'localTrackUnpublished'],
    ] as const) {
      const count = (kind: string) => told.filter((event) => event.split(' ')[0] === kind).length
      expect([end, count(end)]).toEqual([end, count(begin)])
    }
    // The next room that is joined with this Room has its own participants, and no others.
    await using next = new Loopback()
    next.join('dave')
    told.length = 0
    next.join('carol', { room })
    await turn()
    expect([...room.remoteParticipants.keys()]).toEqual(['dave'])
    expect(told).toEqual([
      'connectionStateChanged connecting',
      'signalConnected',
      'connectionStateChanged connected',
      'connected',
      'participantConnected dave',
      'participantActive dave',
    ])
  })

  it.each(events)('and reconnects it in %s gets the events of both in order', async (name) => {
    await using sfu = new Loopback()
    await using next = new Loopback()
    next.join('dave')
    const others = await stage(sfu)
    const room = new Room()
    const told = heard(room)
    room.prependOnceListener(name, () => {
      void room.disconnect()
      next.join('carol', { room })
    })
    await live(sfu, room, others)
    await until(() => room.remoteParticipants.has('dave'))
    expect(room.state).toBe('connected')
    expect([...room.remoteParticipants.keys()]).toEqual(['dave'])
    const at = told.indexOf('disconnected clientInitiated')
    expect(told.lastIndexOf('disconnected clientInitiated')).toBe(at)
    const after = told.slice(at + 1)
    expect(after.filter((event) => /alice|bob/.test(event))).toEqual([])
    // Later ones are about carol's own track.
    expect(after.slice(0, 6)).toEqual([
      'connectionStateChanged connecting',
      'signalConnected',
      'connectionStateChanged connected',
      'connected',
      'participantConnected dave',
      'participantActive dave',
    ])
  })

  it('and reconnects it in disconnected gets a connected room', async () => {
    await using sfu = new Loopback()
    sfu.join('dave')
    const room = sfu.join('carol')
    room.once(RoomEvent.Disconnected, () => void sfu.join('carol', { room }))
    await room.disconnect()
    await until(() => room.remoteParticipants.has('dave'))
    expect(room.state).toBe('connected')
  })

  it('while the loopback closes does not affect the other rooms', () => {
    const sfu = new Loopback()
    const [alice, bob] = [sfu.join('alice'), sfu.join('bob')]
    alice.once(RoomEvent.Disconnected, () => void bob.disconnect())
    sfu.close()
    expect([alice.state, bob.state]).toEqual(['disconnected', 'disconnected'])
  })
})
