/** A listener may disconnect its room, and connect it again, whatever it is told. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { AudioSource, LocalAudioTrack, Loopback, Room, RoomEvent } from '../../index'
import type { RoomEvents } from '../../index'
import { turn, until } from '../helpers/rooms'

type EventName = keyof RoomEvents
/** Gives a room a message of the server that the loopback does not send by itself. */
type Tell = (message: { case: string; value: unknown }) => void
/** Tells a room which audio tracks the server sends. */
type Sending = (...sids: string[]) => void

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
async function stage(sfu: Loopback): Promise<(tell: Tell, sending: Sending) => Promise<void>> {
  // An agent may send transcriptions.
  const [alice, bob] = [sfu.join('alice', { kind: 'agent' }), sfu.join('bob')]
  for (const room of [alice, bob]) await room.localParticipant.publishDataTrack({ name: 'track' })
  bob.on(RoomEvent.DataTrackPublished, (track) => {
    if (track.name === 'own') track.subscribe()
  })
  return async (tell, sending) => {
    await alice.localParticipant.publishData(new Uint8Array(1), { reliable: true })
    await alice.localParticipant.sendChatMessage('hello')
    await alice.localParticipant.publishDtmf(1, '1')
    const transcription = { participantIdentity: 'alice', trackSid: 'TR_1', segments: [] }
    await alice.localParticipant.publishTranscription(transcription)
    alice.localParticipant.setTrackSubscriptionPermissions(false)
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
    // The loopback has no audio.
    const describe = (...tracks: object[]): void => {
      const described = { identity: 'alice', sid, state: 2, version: 1_000_000, tracks }
      tell({ case: 'update', value: { participants: [described] } })
    }
    describe({ sid: 'TR_1' })
    sending('TR_1')
    describe({ sid: 'TR_1', muted: true })
    describe({ sid: 'TR_1', muted: false })
    tell({ case: 'subscriptionResponse', value: { trackSid: 'TR_1', err: 1 } })
    sending()
    describe()
    await alice.disconnect()
    await turn()
  }
}

/**
 * Carol publishes an audio track. The loopback carries none, so this answers in place of a server. Returns what answers
 * again, after the connection was rebuilt, and unpublishes the track.
 */
function speak(room: Room): () => void {
  const { connection } = room.engine
  if (connection === undefined) return () => {}
  const sending = vi.spyOn(connection, 'setSending').mockReturnValue(true)
  const track = LocalAudioTrack.createAudioTrack('voice', source)
  // Each step may find the room disconnected.
  room.localParticipant.publishTrack(track).catch(() => {})
  const cid = sending.mock.lastCall?.[0].at(-1)
  const answer = (sid: string): void =>
    room.engine.receive({ message: { case: 'trackPublished', value: { cid, track: { sid } } } })
  answer('TR_own')
  room.engine.receive({ message: { case: 'trackSubscribed', value: { trackSid: 'TR_own' } } })
  return () => {
    answer('TR_again')
    void room.localParticipant.unpublishTrack(track)
  }
}

/** Carol's room hears of all these, one after the other. */
async function live(sfu: Loopback, room: Room, others: Awaited<ReturnType<typeof stage>>): Promise<void> {
  sfu.join('carol', { room })
  await turn()
  room.remoteParticipants.get('alice')?.dataTracks.get('track')?.subscribe()
  await turn()
  // Each step may find the room disconnected, which is what is tested.
  const track = await room.localParticipant.publishDataTrack({ name: 'own' }).catch(() => undefined)
  // Bob subscribes, and the SFU tells.
  for (let turns = 0; turns < 5; turns++) await turn()
  await track?.unpublish()
  const republish = speak(room)
  await others(
    (message) => {
      // It may be in another room by now, which alice must not enter by an update.
      if (message.case !== 'update' || room.remoteParticipants.has('alice')) room.engine.receive({ message })
    },
    (...sids) => room.engine.tracksSent(new Set(sids)),
  )
  room.engine.tokenRefreshed('a new token')
  try {
    await sfu.reconnect('carol', 'resume')
    await sfu.reconnect('carol', 'full')
    republish()
    sfu.updateParticipant('carol', { permission: { canPublishData: false } })
    // The loopback moves no participant.
    const participant = { identity: 'carol', sid: 'PA_moved', state: 2 }
    const moved = { room: { name: 'other' }, participant, otherParticipants: [] }
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
