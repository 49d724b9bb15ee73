/** Audio tracks of the local participant, as its room and a server agree on them. There is no server, and no sound. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  AudioSource,
  ExternalE2EEKeyProvider,
  LocalAudioTrack,
  Room,
  RoomEvent,
  TrackPublishError,
} from '../../index'
import type { RoomOptions, TrackPublishErrorReason, TrackPublishOptions } from '../../index'
import { FakeConnection, fakeRoom } from '../helpers/fake-connection'

const sources: AudioSource[] = []

function trackOf(name: string, channels = 1): LocalAudioTrack {
  const source = new AudioSource(48_000, channels)
  sources.push(source)
  return LocalAudioTrack.createAudioTrack(name, source)
}

afterEach(async () => {
  vi.useRealTimers()
  for (const source of sources.splice(0)) await source.close()
})

const everything = { canPublish: true, canSubscribe: true, canPublishData: true }

/** A connected room, what it tells, and what it sends. */
function scene(options: RoomOptions = {}, permission: object = everything) {
  const { room, connection } = fakeRoom(options)
  const told: string[] = []
  for (const event of [
    RoomEvent.LocalTrackPublished,
    RoomEvent.LocalTrackUnpublished,
    RoomEvent.LocalTrackSubscribed,
    RoomEvent.TrackMuted,
    RoomEvent.TrackUnmuted,
  ] as const)
    room.on(event, (publication: { trackSid: string }, participant: { identity: string }) =>
      told.push(`${event} ${publication.trackSid} ${participant.identity}`),
    )
  room.on(RoomEvent.LocalTrackRepublished, ({ trackSid }, previous) =>
    told.push(`republished ${previous} ${trackSid}`),
  )
  const receive = (kind: string, value: object): void =>
    room.engine.receive({ message: { case: kind, value } })
  const me = { identity: 'me', sid: 'PA_me', state: 2, permission }
  const join = { message: { case: 'join', value: { participant: me, otherParticipants: [] } } }
  room.engine.receive(join)
  const requests = () =>
    connection.requests
      .splice(0)
      .flatMap((request) => (request.case === 'addTrack' || request.case === 'mute' ? [request] : []))
  return {
    room,
    connection,
    told,
    receive,
    join,
    requests,
    local: room.localParticipant,
    /** The names of the tracks that are sent. */
    sending: () => connection.sending.at(-1) ?? [],
    /** The server publishes the newest track. */
    answer: (sid: string, cid = connection.sending.at(-1)?.at(-1)) =>
      receive('trackPublished', { cid, track: { sid, name: 'voice', mimeType: 'audio/opus' } }),
  }
}

async function reasonOf(promise: Promise<unknown>): Promise<TrackPublishErrorReason> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(TrackPublishError)
  return (error as TrackPublishError).reason
}

describe('publishing', () => {
  it('asks the server, sends the track, and resolves with the server’s answer', async () => {
    const { local, told, requests, sending, answer } = scene()
    const track = trackOf('voice')
    const publishing = local.publishTrack(track)
    const [cid] = sending()
    expect(requests()).toEqual([
      {
        case: 'addTrack',
        value: {
          cid,
          name: 'voice',
          type: 0,
          source: 2,
          muted: false,
          disableDtx: false,
          disableRed: false,
          encryption: 0,
          stereo: false,
          stream: '',
          audioFeatures: [],
        },
      },
    ])
    answer('TR_1')
    const publication = await publishing
    expect(publication).toMatchObject({ trackSid: 'TR_1', trackName: 'voice', mimeType: 'audio/opus', track })
    expect([...local.trackPublications]).toEqual([['TR_1', publication]])
    expect(told).toEqual(['localTrackPublished TR_1 me'])
  })

  it.each<[TrackPublishOptions, object]>([
    [{ source: 'unknown' }, { source: 0 }],
    [{ source: 'screen_share_audio' }, { source: 4 }],
    [
      { dtx: true, red: true },
      { disableDtx: false, disableRed: false, audioFeatures: [0] },
    ],
    [{}, { stereo: true, disableDtx: true, disableRed: true, audioFeatures: [0, 1] }],
    [{ stereo: false }, { stereo: false, disableDtx: false, disableRed: false, audioFeatures: [] }],
    [
      { stereo: false, dtx: false, red: false },
      { disableDtx: true, disableRed: true, audioFeatures: [1] },
    ],
    [{ stream: 'camera' }, { stream: 'camera' }],
  ])('asks with %j', (options, expected) => {
    const { local, requests, answer } = scene()
    void local.publishTrack(trackOf('voice', 2), options)
    expect(requests()[0]?.value).toMatchObject(expected)
    answer('TR_1')
  })

  it('is refused with the server’s reason', async () => {
    const { local, receive, sending } = scene()
    for (const [number, reason] of [
      [2, 'notAllowed'],
      [3, 'limitReached'],
      [5, 'unsupported'],
      [6, 'internal'],
    ] as const) {
      const publishing = local.publishTrack(trackOf('voice'))
      const [cid] = sending()
      const request = { case: 'addTrack', value: { cid } }
      receive('requestResponse', { reason: 4, message: '', request })
      receive('requestResponse', { reason: number, message: 'because', request })
      expect(await reasonOf(publishing)).toBe(reason)
      expect(sending()).toEqual([])
    }
  })

  it('is refused without a request if it cannot work', async () => {
    const track = trackOf('voice')
    expect(await reasonOf(new Room().localParticipant.publishTrack(track))).toBe('disconnected')
    const provider = { encrypt: () => undefined as never, decrypt: () => undefined as never }
    const encrypted = scene({ encryption: { provider } })
    expect(await reasonOf(encrypted.local.publishTrack(track))).toBe('encrypted')
    const mute = scene({}, { ...everything, canPublish: false })
    expect(await reasonOf(mute.local.publishTrack(track))).toBe('notAllowed')
    const camera = scene({}, { ...everything, canPublishSources: [1] })
    expect(await reasonOf(camera.local.publishTrack(track))).toBe('notAllowed')
    const { local, requests, sending } = scene()
    const closed = trackOf('closed')
    await closed.source.close()
    expect(await reasonOf(local.publishTrack(closed))).toBe('sourceClosed')
    for (const each of [encrypted, mute, camera]) expect(each.requests()).toEqual([])
    expect([requests(), sending()]).toEqual([[], []])
  })

  it('is encrypted, without RED, in a room that is', async () => {
    const { local, requests, answer } = scene({ encryption: { keyProvider: new ExternalE2EEKeyProvider() } })
    const publishing = local.publishTrack(trackOf('voice'), { red: true })
    expect(requests()[0]?.value).toMatchObject({ encryption: 1, disableRed: true })
    answer('TR_1')
    expect(await publishing).toMatchObject({ trackSid: 'TR_1', isEncrypted: true })
  })

  it('of a track that is published is refused', async () => {
    const { local, answer } = scene()
    const track = trackOf('voice')
    const publishing = local.publishTrack(track)
    expect(await reasonOf(local.publishTrack(track))).toBe('alreadyPublished')
    answer('TR_1')
    await publishing
    expect(await reasonOf(local.publishTrack(track))).toBe('alreadyPublished')
    expect(await reasonOf(scene().local.publishTrack(track))).toBe('alreadyPublished')
  })

  it('takes as many tracks as a connection has sections', async () => {
    const { local, room, sending } = scene()
    const all = Array.from({ length: 256 }, () => reasonOf(local.publishTrack(trackOf('voice'))))
    expect(sending()).toHaveLength(256)
    expect(await reasonOf(local.publishTrack(trackOf('voice')))).toBe('limitReached')
    await room.disconnect()
    expect(new Set(await Promise.all(all))).toEqual(new Set(['disconnected']))
  })

  it('ends by its signal, by the time, and with the room', async () => {
    vi.useFakeTimers()
    const { local, room, sending } = scene()
    const stop = new AbortController()
    const cancelled = local.publishTrack(trackOf('voice'), { signal: stop.signal })
    stop.abort(new Error('enough'))
    await expect(cancelled).rejects.toThrow('enough')
    expect(sending()).toEqual([])
    const late = reasonOf(local.publishTrack(trackOf('voice')))
    vi.advanceTimersByTime(10_000)
    expect(await late).toBe('timeout')
    const gone = reasonOf(local.publishTrack(trackOf('voice')))
    void room.disconnect()
    expect(await gone).toBe('disconnected')
  })

  it.each([
    [{ source: 'camera' }, RangeError, 'options.source'],
    [{ bitrate: 5999 }, RangeError, 'options.bitrate'],
    [{ bitrate: 510_001 }, RangeError, 'options.bitrate'],
    [{ dtx: 1 }, TypeError, 'options.dtx'],
    [{ red: 1 }, TypeError, 'options.red'],
    [{ stereo: true }, RangeError, 'options.stereo'],
    [{ stream: 1 }, TypeError, 'options.stream'],
    [{ signal: 1 }, TypeError, 'options.signal'],
  ])('refuses the options %j', async (options, type, name) => {
    const { local } = scene()
    const refused = local.publishTrack(trackOf('voice'), options as never)
    await expect(refused).rejects.toThrow(name)
    await expect(refused).rejects.toBeInstanceOf(type)
  })

  it('has as much time as before while the room reconnects', async () => {
    vi.useFakeTimers()
    const { room, local, requests, join } = scene()
    const settled = vi.fn()
    const reasons = ['resumed', 'rebuilt'].map(async () => {
      const reason = await reasonOf(local.publishTrack(trackOf('voice')))
      settled()
      return reason
    })
    await vi.advanceTimersByTimeAsync(6000)
    for (const back of [() => room.engine.connectionResumed(0), () => room.engine.connectionRebuilt(join)]) {
      room.engine.connectionLost()
      room.engine.connectionReconnecting(true)
      await vi.advanceTimersByTimeAsync(60_000)
      requests()
      back()
      expect(requests().map((request) => request.case)).toEqual(['addTrack', 'addTrack'])
      await vi.advanceTimersByTimeAsync(1999)
    }
    expect(settled).not.toHaveBeenCalled()
    await vi.advanceTimersByTimeAsync(2)
    expect(await Promise.all(reasons)).toEqual(['timeout', 'timeout'])
  })

  it('begins after the reconnect, if it is asked for during one, and ends at once with the room', async () => {
    vi.useFakeTimers()
    const { room, local, requests, answer } = scene()
    room.engine.connectionLost()
    room.engine.connectionReconnecting(true)
    const publishing = local.publishTrack(trackOf('voice'))
    await vi.advanceTimersByTimeAsync(60_000)
    expect(requests()).toEqual([])
    room.engine.connectionResumed(0)
    answer('TR_1')
    expect((await publishing).trackSid).toBe('TR_1')
    room.engine.connectionLost()
    const gone = reasonOf(local.publishTrack(trackOf('second')))
    room.engine.end('signalClose', false)
    expect(await gone).toBe('disconnected')
  })

  it('before the join has its request in it, and another one only if it was not', async () => {
    const room = new Room()
    const connection = new FakeConnection()
    const { localParticipant } = room
    room.engine.setState('connecting')
    const first = localParticipant.publishTrack(trackOf('first'))
    const [inJoin] = room.engine.joining(connection.native)
    expect(inJoin).toMatchObject({ name: 'first', type: 0 })
    const second = localParticipant.publishTrack(trackOf('second'))
    connection.joinedTracks = [inJoin!.cid]
    room.engine.attach(connection, 'me')
    const receive = (kind: string, value: object): void =>
      room.engine.receive({ message: { case: kind, value } })
    receive('join', {
      participant: { identity: 'me', sid: 'PA_me', state: 2, permission: everything },
      otherParticipants: [],
    })
    const asked = connection.requests.flatMap((request) =>
      request.case === 'addTrack' ? [request.value] : [],
    )
    expect(asked).toMatchObject([{ name: 'second' }])
    const cids = [inJoin!.cid, asked[0]!.cid]
    expect(connection.sending.at(-1)).toEqual(cids)
    for (const [index, cid] of cids.entries())
      receive('trackPublished', { cid, track: { sid: `TR_${index}`, name: '', mimeType: '' } })
    expect([(await first).trackSid, (await second).trackSid]).toEqual(['TR_0', 'TR_1'])
    await room.disconnect()
  })

  it('during a connect that fails is refused, and so is what its token does not allow', async () => {
    const room = new Room()
    room.engine.setState('connecting')
    const gone = reasonOf(room.localParticipant.publishTrack(trackOf('voice')))
    room.engine.connectFailed()
    expect([await gone, room.state]).toEqual(['disconnected', 'disconnected'])
    expect(await reasonOf(room.localParticipant.publishTrack(trackOf('voice')))).toBe('disconnected')
    const { room: other, connection } = fakeRoom()
    const refused = reasonOf(other.localParticipant.publishTrack(trackOf('voice')))
    const participant = {
      identity: 'me',
      sid: 'PA_me',
      state: 2,
      permission: { ...everything, canPublish: false },
    }
    other.engine.receive({ message: { case: 'join', value: { participant, otherParticipants: [] } } })
    expect(await refused).toBe('notAllowed')
    expect(connection.requests.filter((request) => request.case === 'addTrack')).toEqual([])
    await other.disconnect()
  })

  it('refuses what is no track', async () => {
    await expect(scene().local.publishTrack({} as never)).rejects.toThrow(TypeError)
    await expect(scene().local.unpublishTrack({} as never)).rejects.toThrow(
      'The argument "track" must be a LocalAudioTrack or its SID',
    )
    expect(() => LocalAudioTrack.createAudioTrack('voice', {} as never)).toThrow(TypeError)
    expect(() => LocalAudioTrack.createAudioTrack(1 as never, trackOf('voice').source)).toThrow(TypeError)
  })
})

describe('a published track', () => {
  async function published() {
    const all = scene()
    const track = trackOf('voice')
    const publishing = all.local.publishTrack(track)
    all.answer('TR_1')
    const publication = await publishing
    all.requests()
    all.told.length = 0
    return { ...all, track, publication, cid: all.sending()[0]! }
  }

  it('is unpublished by the program', async () => {
    const { local, track, publication, told, sending } = await published()
    const waiting = reasonOf(publication.waitForSubscription())
    expect(await local.unpublishTrack(track)).toBe(publication)
    expect(await local.unpublishTrack(track)).toBeUndefined()
    expect([track.sid, publication.isPublished, sending()]).toEqual([undefined, false, []])
    expect(local.trackPublications.size).toBe(0)
    expect(told).toEqual(['localTrackUnpublished TR_1 me'])
    expect(await waiting).toBe('unpublished')
    expect(await reasonOf(publication.waitForSubscription())).toBe('unpublished')
  })

  it('stays while a track that is not published is unpublished', async () => {
    const { local, sending, answer } = scene()
    const track = trackOf('voice')
    const publishing = local.publishTrack(track)
    expect(await local.unpublishTrack(trackOf('another'))).toBeUndefined()
    expect(sending()).toHaveLength(1)
    answer('TR_1')
    expect((await publishing).track).toBe(track)
  })

  it('is unpublished by its SID, by closing it, by the server, and with the room', async () => {
    const [one, two, three, four] = [
      await published(),
      await published(),
      await published(),
      await published(),
    ]
    await one.local.unpublishTrack('TR_1')
    expect(one.track.source.isClosed).toBe(false)
    await two.track.close()
    expect(two.track.source.isClosed).toBe(true)
    three.receive('trackUnpublished', { trackSid: 'TR_other' })
    three.receive('trackUnpublished', { trackSid: 'TR_1' })
    await four.room.disconnect()
    for (const { told, publication, local } of [one, two, three, four]) {
      expect(told).toEqual(['localTrackUnpublished TR_1 me'])
      expect([publication.isPublished, local.trackPublications.size]).toEqual([false, 0])
    }
  })

  it('has the codec that the server finds in its first packet', async () => {
    const { publication, receive } = await published()
    const described = (identity: string, sid: string): object => ({
      participants: [{ identity, tracks: [{ sid, name: 'voice', mimeType: 'audio/red' }] }],
    })
    receive('update', described('me', 'TR_2'))
    receive('update', described('another', 'TR_1'))
    receive('update', { participants: [{ identity: 'me', tracks: 1 }] })
    expect(publication.mimeType).toBe('audio/opus')
    receive('update', described('me', 'TR_1'))
    expect([publication.mimeType, publication.trackName]).toEqual(['audio/red', 'voice'])
  })

  it('is muted by the program, and others learn of it', async () => {
    const { publication, track, told, requests } = await published()
    publication.mute()
    publication.mute()
    expect([publication.isMuted, track.isMuted]).toEqual([true, true])
    track.unmute()
    expect(requests().map(({ value }) => value)).toEqual([
      { sid: 'TR_1', muted: true },
      { sid: 'TR_1', muted: false },
    ])
    expect(told).toEqual(['trackMuted TR_1 me', 'trackUnmuted TR_1 me'])
  })

  it('is muted by the server, which is not told again', async () => {
    const { publication, told, requests, receive } = await published()
    receive('mute', { sid: 'TR_1', muted: true })
    receive('mute', { sid: 'TR_1', muted: true })
    receive('mute', { sid: 'TR_2', muted: true })
    expect(publication.isMuted).toBe(true)
    expect(told).toEqual(['trackMuted TR_1 me'])
    expect(requests()).toEqual([])
    publication.unmute()
    expect(requests()).toHaveLength(1)
  })

  it('that is muted while it is being published is published muted', async () => {
    const { local, requests, answer } = scene()
    const before = trackOf('voice')
    before.mute()
    void local.publishTrack(before)
    expect(requests()[0]?.value).toMatchObject({ muted: true })
    const track = trackOf('voice')
    const publishing = local.publishTrack(track)
    requests()
    track.mute()
    answer('TR_2')
    await publishing
    expect(requests()).toEqual([{ case: 'mute', value: { sid: 'TR_2', muted: true } }])
  })

  it('has a first subscriber', async () => {
    const { publication, told, receive } = await published()
    const waiting = publication.waitForSubscription()
    receive('trackSubscribed', { trackSid: 'TR_1' })
    receive('trackSubscribed', { trackSid: 'TR_1' })
    await waiting
    await publication.waitForSubscription()
    expect(publication.wasSubscribed).toBe(true)
    expect(told).toEqual(['localTrackSubscribed TR_1 me'])
    await expect(publication.waitForSubscription({ signal: AbortSignal.abort() })).rejects.toThrow('aborted')
  })

  it('is named in the sync state of a resumed session, and a request without an answer is sent again', async () => {
    const { room, local, connection, cid, requests, sending, answer, publication } = await published()
    publication.mute()
    const publishing = local.publishTrack(trackOf('second'))
    const lost = sending().at(-1)
    requests()
    connection.requests.length = 0
    room.engine.connectionLost()
    room.engine.connectionResumed(0)
    const sync = connection.requests.find((request) => request.case === 'syncState')
    expect(sync?.value).toMatchObject({ publishTracks: [{ cid, track: { sid: 'TR_1', muted: true } }] })
    expect(requests()).toMatchObject([
      { case: 'mute', value: { sid: 'TR_1', muted: true } },
      { case: 'addTrack', value: { name: 'second' } },
    ])
    expect(sending()).toHaveLength(2)
    expect(sending()).not.toContain(lost)
    answer('TR_2')
    expect((await publishing).trackSid).toBe('TR_2')
  })

  it('is published again by a rebuilt connection, as the same publication', async () => {
    const { room, local, told, cid, requests, sending, answer, publication, join } = await published()
    room.engine.connectionLost()
    room.engine.connectionRebuilt(join)
    expect(requests()).toMatchObject([{ case: 'addTrack', value: { cid, name: 'voice', muted: false } }])
    expect(sending()).toEqual([cid])
    answer('TR_2', cid)
    expect(publication.trackSid).toBe('TR_2')
    expect([...local.trackPublications]).toEqual([['TR_2', publication]])
    expect(told).toEqual(['republished TR_1 TR_2'])
    answer('TR_2', cid)
    expect(told).toHaveLength(1)
  })

  it('that a rebuilt connection may not publish ends', async () => {
    const { room, told, cid, receive, publication, join } = await published()
    room.engine.connectionRebuilt(join)
    const request = { case: 'addTrack', value: { cid } }
    receive('requestResponse', { reason: 2, message: '', request })
    expect([publication.isPublished, told]).toEqual([false, ['localTrackUnpublished TR_1 me']])
  })

  it('that a rebuilt connection may not publish, as its token says, ends without a request', async () => {
    const { room, local, told, requests, sending, publication, join } = await published()
    join.message.value.participant.permission = { ...everything, canPublish: false }
    room.engine.connectionRebuilt(join)
    expect([publication.isPublished, told]).toEqual([false, ['localTrackUnpublished TR_1 me']])
    expect([requests(), sending(), local.trackPublications.size]).toEqual([[], [], 0])
  })

  it('is not changed by nonsense', async () => {
    const { receive, told, publication } = await published()
    for (const kind of ['trackPublished', 'trackUnpublished', 'trackSubscribed', 'mute', 'requestResponse']) {
      for (const value of [{}, { cid: 1, track: 1 }, { trackSid: 1 }, { sid: [] }, { request: 1 }])
        receive(kind, value)
    }
    receive('requestResponse', { request: { case: 'addTrack', value: 1 }, reason: 2 })
    expect([told, publication.trackSid]).toEqual([[], 'TR_1'])
  })
})
