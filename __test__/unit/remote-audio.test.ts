/** Audio tracks of remote participants, as the server's messages describe them. There is no server, and no sound. */
import { describe, expect, it } from 'vitest'
import { AudioStream, ExternalE2EEKeyProvider, RoomEvent } from '../../index'
import type { RemoteAudioTrack, Room, RoomOptions } from '../../index'
import { MAX_TRAILER, RemoteAudio } from '../../src/room/remote-audio'
import type { RemoteAudioOwner } from '../../src/room/remote-audio'
import { fakeRoom } from '../helpers/fake-connection'

interface Track {
  sid: string
  name?: string
  muted?: boolean
  source?: number
  encryption?: number
}

/** A connected room, what it tells, and what it sends. */
function scene(options: RoomOptions = {}) {
  const { room, connection } = fakeRoom(options)
  const told: string[] = []
  const tell =
    (event: string) =>
    (...args: readonly unknown[]): void => {
      const texts = args.map((arg) => {
        const { trackSid, sid, identity } = (arg ?? {}) as Record<string, string>
        return typeof arg === 'string' ? arg : (trackSid ?? identity ?? sid)
      })
      told.push([event, ...texts].join(' ').trim())
    }
  for (const event of Object.values(RoomEvent))
    if (/^(track[PUSM]|participant(Conn|Disc))/.test(event)) room.on(event, tell(event))
  const participant = (tracks: readonly unknown[] | undefined, changes: object = {}) => ({
    identity: 'alice',
    sid: 'PA_1',
    state: 2,
    tracks,
    ...changes,
  })
  const update = (tracks: readonly unknown[] | undefined, changes: object = {}): void =>
    room.engine.receive({
      message: { case: 'update', value: { participants: [participant(tracks, changes)] } },
    })
  const me = { identity: 'me', sid: 'PA_me', state: 2 }
  const join = (...tracks: Track[]): void =>
    room.engine.receive({
      message: { case: 'join', value: { participant: me, otherParticipants: [participant(tracks)] } },
    })
  return {
    room,
    told,
    join,
    update,
    sends: (...sids: string[]) => room.engine.tracksSent(new Set(sids)),
    publication: (sid: string) => room.remoteParticipants.get('alice')!.trackPublications.get(sid)!,
    requests: () =>
      connection.requests
        .splice(0)
        .flatMap(({ case: kind, value }) => (kind === 'subscription' ? [value] : [])),
    connection,
  }
}

const wants = (...trackSids: string[]) => ({ trackSids, subscribe: true, participantTracks: [] })
const drops = (...trackSids: string[]) => ({ trackSids, subscribe: false, participantTracks: [] })

describe('publications', () => {
  it('are those of the last description, and are told once each', () => {
    const { room, told, join, update } = scene()
    join({ sid: 'TR_1', name: 'one', source: 2 })
    update([{ sid: 'TR_1', name: 'one', source: 2 }, { sid: 'TR_2' }])
    update([{ sid: 'TR_2' }])
    update(undefined)
    expect(told).toEqual([
      'participantConnected alice',
      'trackPublished TR_1 alice',
      'trackPublished TR_2 alice',
      'trackUnpublished TR_1 alice',
      'trackUnpublished TR_2 alice',
    ])
    expect(room.remoteParticipants.get('alice')?.trackPublications.size).toBe(0)
  })

  it('say what the server says', () => {
    const { join, publication } = scene()
    join({ sid: 'TR_1', name: 'one', source: 4, muted: true, encryption: 1 }, { sid: 'TR_2', source: 99 })
    expect(publication('TR_1')).toMatchObject({
      trackName: 'one',
      kind: 'audio',
      source: 'screen_share_audio',
      mimeType: '',
      isMuted: true,
      isEncrypted: true,
    })
    expect(publication('TR_2')).toMatchObject({ trackName: '', source: 'other:99', isEncrypted: false })
  })

  it('follow a mute and an unmute', () => {
    const { told, join, update, publication } = scene()
    join({ sid: 'TR_1' })
    told.length = 0
    for (const muted of [true, true, false]) {
      update([{ sid: 'TR_1', muted }])
      expect(publication('TR_1').isMuted).toBe(muted)
    }
    expect(told).toEqual(['trackMuted TR_1 alice', 'trackUnmuted TR_1 alice'])
  })

  it('end with the participant, and with its session', () => {
    const { told, join, update } = scene()
    join({ sid: 'TR_1' })
    told.length = 0
    update([{ sid: 'TR_2' }], { sid: 'PA_2' })
    update([], { sid: 'PA_2', state: 3 })
    expect(told).toEqual([
      'trackUnpublished TR_1 alice',
      'trackPublished TR_2 alice',
      'trackUnpublished TR_2 alice',
      'participantDisconnected alice',
    ])
  })

  it('of a server that makes no sense are skipped', () => {
    const { told, join, update, room } = scene()
    join()
    update([null, 1, {}, { sid: 1 }, { sid: '' }, { sid: 'TR_1', name: 5, source: 'x', muted: 'y' }])
    update([{ sid: 'TR_2' }], { tracks: 'none' })
    expect(told).toEqual([
      'participantConnected alice',
      'trackPublished TR_1 alice',
      'trackUnpublished TR_1 alice',
    ])
    // A SID that another participant has already.
    update([{ sid: 'TR_3' }])
    update([{ sid: 'TR_3' }], { identity: 'bob', sid: 'PA_b' })
    expect(room.remoteParticipants.get('bob')?.trackPublications.size).toBe(0)
  })
})

describe('subscriptions', () => {
  it('are requested for each track of a room with autoSubscribe', () => {
    const { join, update, requests, publication } = scene()
    join({ sid: 'TR_1' }, { sid: 'TR_2' })
    expect(requests()).toEqual([wants('TR_1', 'TR_2')])
    update([{ sid: 'TR_1' }, { sid: 'TR_2' }, { sid: 'TR_3' }])
    expect(requests()).toEqual([wants('TR_3')])
    expect(publication('TR_3').isDesired).toBe(true)
  })

  it('begin and end when the server says so', () => {
    const { told, join, sends, publication } = scene()
    join({ sid: 'TR_1' }, { sid: 'TR_2' })
    told.length = 0
    sends('TR_1')
    const { track } = publication('TR_1')
    expect([track?.sid, track?.kind, publication('TR_1').isSubscribed]).toEqual(['TR_1', 'audio', true])
    sends('TR_1', 'TR_2', 'TR_unknown')
    sends('TR_2')
    expect([track?.isEnded, publication('TR_1').track]).toEqual([true, undefined])
    sends()
    expect(told).toEqual([
      'trackSubscribed TR_1 TR_1 alice',
      'trackSubscribed TR_2 TR_2 alice',
      'trackUnsubscribed TR_1 TR_1 alice',
      'trackUnsubscribed TR_2 TR_2 alice',
    ])
  })

  it('are ended and requested again by setSubscribed', () => {
    const { join, requests, publication } = scene()
    join({ sid: 'TR_1' })
    requests()
    publication('TR_1').setSubscribed(true)
    expect(requests()).toEqual([])
    publication('TR_1').setSubscribed(false)
    publication('TR_1').setSubscribed(true)
    expect(requests()).toEqual([drops('TR_1'), wants('TR_1')])
    expect(() => publication('TR_1').setSubscribed(1 as never)).toThrow(TypeError)
  })

  it('that the server refuses fail with its reason, and can be tried again', () => {
    const { room, join, requests, publication } = scene()
    const reasons: string[] = []
    room.on(RoomEvent.TrackSubscriptionFailed, (_sid, _participant, reason) => reasons.push(reason))
    join({ sid: 'TR_1' })
    for (const err of [0, 1, 2, 77, 'x']) {
      const message = { case: 'subscriptionResponse', value: { trackSid: 'TR_1', err } }
      room.engine.receive({ message })
      room.engine.receive({ message: { case: 'subscriptionResponse', value: { trackSid: 'TR_9', err } } })
      expect(publication('TR_1').isDesired).toBe(false)
      publication('TR_1').setSubscribed(true)
    }
    room.engine.receive({ message: { case: 'subscriptionResponse', value: null } })
    expect(reasons).toEqual(['unknown', 'codecUnsupported', 'trackNotFound', 'unknown', 'unknown'])
    expect(requests()).toHaveLength(6)
  })

  it('that would be a downgrade, or noise, are refused here', () => {
    const keyProvider = new ExternalE2EEKeyProvider()
    const provider = {
      encrypt: () => Promise.reject(new Error()),
      decrypt: () => Promise.reject(new Error()),
    }
    for (const [options, encryption, reason] of [
      [{}, 1, 'noDecryption'],
      [{}, 2, 'noDecryption'],
      [{ encryption: { keyProvider } }, 0, 'unencrypted'],
      [{ encryption: { keyProvider } }, 2, 'noDecryption'],
      [{ encryption: { keyProvider } }, 77, 'noDecryption'],
      [{ encryption: { provider } }, 0, 'unencrypted'],
      [{ encryption: { provider } }, 1, 'noDecryption'],
    ] as const) {
      const { told, join, sends, requests, publication } = scene(options)
      join({ sid: 'TR_1', encryption })
      expect([publication('TR_1').isDesired, requests()]).toEqual([false, []])
      told.length = 0
      publication('TR_1').setSubscribed(true)
      // What the server sends nevertheless is not handed out.
      sends('TR_1')
      expect(told).toEqual([`trackSubscriptionFailed TR_1 alice ${reason}`])
      expect([publication('TR_1').isDesired, publication('TR_1').isSubscribed, requests()]).toEqual([
        false,
        false,
        [],
      ])
    }
  })

  it('of a track that the server sends before it describes it begin with the description', () => {
    const { told, join, update, sends, publication } = scene()
    join()
    sends('TR_1')
    told.length = 0
    update([{ sid: 'TR_1' }])
    expect(told).toEqual(['trackPublished TR_1 alice', 'trackSubscribed TR_1 TR_1 alice'])
    expect(publication('TR_1').isSubscribed).toBe(true)
  })

  it('beyond the sections that a connection can have fail, until another one ends', () => {
    const { room, told, join, update, requests } = scene()
    const reasons: string[] = []
    room.on(RoomEvent.TrackSubscriptionFailed, (_sid, _participant, reason) => reasons.push(reason))
    join()
    const tracksOf = (name: string, count: number): object[] =>
      Array.from({ length: count }, (_, index) => ({ sid: `TR_${name}_${index}` }))
    // The last one does not fit.
    const full = 16
    for (let name = 0; name <= full; name++) {
      const changes = { identity: `p${name}`, sid: `PA_${name}` }
      update(tracksOf(String(name), name === full ? 1 : 16), changes)
    }
    expect(requests().flatMap(({ trackSids }) => trackSids)).toHaveLength(256)
    expect(told.slice(-2)).toEqual([
      'trackPublished TR_16_0 p16',
      'trackSubscriptionFailed TR_16_0 p16 limitReached',
    ])
    const publicationOf = (name: number, index: number) =>
      room.remoteParticipants.get(`p${name}`)!.trackPublications.get(`TR_${name}_${index}`)!
    const last = publicationOf(16, 0)
    expect(last.isDesired).toBe(false)
    last.setSubscribed(true)
    expect([last.isDesired, requests(), reasons]).toEqual([false, [], ['limitReached', 'limitReached']])
    publicationOf(3, 5).setSubscribed(false)
    last.setSubscribed(true)
    expect([last.isDesired, requests()]).toEqual([true, [drops('TR_3_5'), wants('TR_16_0')]])
    publicationOf(3, 5).setSubscribed(true)
    update([], { identity: 'p7', sid: 'PA_7', state: 3 })
    publicationOf(3, 5).setSubscribed(true)
    expect([publicationOf(3, 5).isDesired, reasons.length]).toEqual([true, 3])
  })

  it('of an encrypted track are requested in a room with the built-in encryption', () => {
    const { told, join, sends, requests, publication } = scene({
      encryption: { keyProvider: new ExternalE2EEKeyProvider() },
    })
    join({ sid: 'TR_1', encryption: 1 })
    expect(requests()).toEqual([wants('TR_1')])
    sends('TR_1')
    expect(publication('TR_1').isEncrypted).toBe(true)
    expect(told).toContain('trackSubscribed TR_1 TR_1 alice')
  })

  it('end with a reason if the track is not encrypted any more, or from now on', () => {
    for (const [options, encryption, reason] of [
      [{ encryption: { keyProvider: new ExternalE2EEKeyProvider() } }, 1, 'unencrypted'],
      [{}, 0, 'noDecryption'],
    ] as const) {
      const { told, join, update, sends, requests, publication } = scene(options)
      join({ sid: 'TR_1', encryption })
      sends('TR_1')
      const { track } = publication('TR_1')
      requests()
      told.length = 0
      for (const _ of [1, 2]) update([{ sid: 'TR_1', encryption: 1 - encryption }])
      expect(told).toEqual([
        'trackUnsubscribed TR_1 TR_1 alice',
        `trackSubscriptionFailed TR_1 alice ${reason}`,
      ])
      expect([track?.isEnded, publication('TR_1').isDesired, requests()]).toEqual([
        true,
        false,
        [drops('TR_1')],
      ])
    }
  })

  it('are requested again after a resume and a rebuild, and the tracks stay the same', () => {
    const { room, told, join, sends, requests, publication, connection } = scene()
    join({ sid: 'TR_1' }, { sid: 'TR_2' }, { sid: 'TR_3' })
    sends('TR_1', 'TR_2')
    publication('TR_2').setSubscribed(false)
    publication('TR_3').setSubscribed(false)
    const { track } = publication('TR_1')
    requests()
    told.length = 0
    room.engine.connectionLost()
    room.engine.connectionReconnecting(true)
    room.engine.connectionResumed(0)
    expect(requests()).toEqual([wants('TR_1'), drops('TR_2')])
    expect(connection.recovered).toEqual([0])
    // What the server sends was lost with signalling.
    publication('TR_3').setSubscribed(true)
    room.engine.connectionLost()
    room.engine.connectionReconnecting(true)
    room.engine.connectionResumed(0)
    expect(connection.recovered).toEqual([0, 1])
    publication('TR_3').setSubscribed(false)
    requests()
    room.engine.connectionLost()
    room.engine.connectionReconnecting(false)
    const alice = {
      identity: 'alice',
      sid: 'PA_1',
      state: 2,
      tracks: [{ sid: 'TR_1' }, { sid: 'TR_2' }, { sid: 'TR_3' }],
    }
    const me = { identity: 'me', sid: 'PA_new', state: 2 }
    room.engine.connectionRebuilt({
      message: { case: 'join', value: { participant: me, otherParticipants: [alice] } },
    })
    expect(requests()).toEqual([wants('TR_1')])
    // It is not wanted, and the new session does not send it.
    expect(publication('TR_2').isSubscribed).toBe(false)
    expect(told).toContain('trackUnsubscribed TR_2 TR_2 alice')
    // The first answers of the new session name no track.
    sends()
    sends('TR_1')
    expect([publication('TR_1').track, told.filter((text) => text.includes('TR_1'))]).toEqual([track, []])
  })

  it('end with the room', async () => {
    const { room, told, join, sends, publication } = scene()
    join({ sid: 'TR_1' })
    sends('TR_1')
    const stream = new AudioStream(publication('TR_1').track!)
    const reading = stream.getReader().read()
    told.length = 0
    await room.disconnect()
    expect(told).toEqual([
      'trackUnsubscribed TR_1 TR_1 alice',
      'trackUnpublished TR_1 alice',
      'participantDisconnected alice',
    ])
    expect((await reading).done).toBe(true)
  })
})

describe('AudioStream', () => {
  /** A room that is subscribed to a track. */
  function subscribed(): { room: Room; track: RemoteAudioTrack } {
    const { room, join, sends, publication } = scene()
    join({ sid: 'TR_1' })
    sends('TR_1')
    return { room, track: publication('TR_1').track! }
  }

  it('refuses wrong arguments by their names', async () => {
    const { room, track } = subscribed()
    const made = (...args: any[]) => {
      return () => new AudioStream(...(args as [RemoteAudioTrack]))
    }
    expect(made()).toThrow(/"track" must be a RemoteAudioTrack/)
    expect(made({ sid: 'TR_1' })).toThrow(TypeError)
    expect(made(track, 48_000)).toThrow(TypeError)
    for (const sampleRate of [7999, 48_001, 8000.5]) expect(made(track, { sampleRate })).toThrow(RangeError)
    expect(made(track, { sampleRate: '48000' })).toThrow(TypeError)
    expect(made(track, { numChannels: 3 })).toThrow(RangeError)
    expect(made(track, { frameSizeMs: 0 })).toThrow(RangeError)
    expect(made(track, { frameSizeMs: 1001 })).toThrow(RangeError)
    await room.disconnect()
  })

  it('that is closed ends, and keeps its counters', async () => {
    const { room, track } = subscribed()
    const stream = new AudioStream(track)
    const reader = stream.getReader()
    const reading = reader.read()
    stream.close()
    stream.close()
    expect((await reading).done).toBe(true)
    expect((await reader.read()).done).toBe(true)
    expect(stream.stats()).toMatchObject({ packetsReceived: 0, framesDelivered: 0 })
    await new AudioStream(track)[Symbol.asyncDispose]()
    await room.disconnect()
  })

  it('ends when its loop is left', async () => {
    const { room, track } = subscribed()
    const stream = new AudioStream(track)
    const iterator = stream.values()
    await iterator.return?.()
    expect((await stream.getReader().read()).done).toBe(true)
    await room.disconnect()
  })
})

it('the text of the server’s own packets is passed on unless it is none, or longer than MAX_TRAILER', () => {
  const trailers: number[] = []
  const owner = { setServerTrailer: ({ length }: Uint8Array) => trailers.push(length) }
  const audio = new RemoteAudio(owner as unknown as RemoteAudioOwner)
  for (const trailer of [new Uint8Array(MAX_TRAILER), new Uint8Array(MAX_TRAILER + 1), 'text', undefined])
    audio.joined(trailer)
  expect(trailers).toEqual([MAX_TRAILER, 0, 0, 0])
})
