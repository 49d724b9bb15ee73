/** Speakers and the quality of connections, as a server tells them, and as it must not. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import { RoomEvent, setLogger } from '../../index'
import type { Room } from '../../index'
import { fakeRoom } from '../helpers/fake-connection'
import { turn, until, withPair } from '../helpers/rooms'

afterEach(() => {
  setLogger(undefined)
  vi.useRealTimers()
})

const participant = (identity: string, sid = `PA_${identity}`) => ({ identity, sid, state: 2 })

/** What the server says. */
const say = (room: Room, kind: string, value: unknown): void =>
  room.engine.receive({ message: { case: kind, value } })

/** A room with bob and carol, and what it tells. */
function joined() {
  const { room } = fakeRoom()
  const otherParticipants = [participant('bob'), participant('carol')]
  say(room, 'join', { participant: participant('me'), otherParticipants })
  const speakers: string[][] = []
  const qualities: string[] = []
  room.on(RoomEvent.ActiveSpeakersChanged, (all) => speakers.push(all.map(({ identity }) => identity)))
  room.on(RoomEvent.ConnectionQualityChanged, (quality, { identity }) =>
    qualities.push(`${identity} ${quality}`),
  )
  return { room, speakers, qualities }
}

const speaks = (sid: string, level: number, active = true) => ({ sid: `PA_${sid}`, level, active })

describe('active speakers', () => {
  it('are the participants that the server named, the loudest first, until it reports them as silent', () => {
    const { room, speakers } = joined()
    const bob = room.remoteParticipants.get('bob')!
    expect([bob.isSpeaking, bob.audioLevel, bob.lastSpokeAt]).toEqual([false, 0, undefined])
    say(room, 'speakersChanged', { speakers: [speaks('bob', 0.25), speaks('me', 0.5)] })
    expect([bob.isSpeaking, bob.audioLevel]).toEqual([true, 0.25])
    expect(Date.now() - bob.lastSpokeAt!.getTime()).toBeLessThan(10_000)
    say(room, 'speakersChanged', { speakers: [speaks('bob', 0.75), speaks('carol', 0.125)] })
    say(room, 'speakersChanged', { speakers: [speaks('me', 0, false), speaks('stranger', 1)] })
    expect(speakers).toEqual([
      ['me', 'bob'],
      ['bob', 'me', 'carol'],
      ['bob', 'carol'],
    ])
    expect(room.activeSpeakers.map(({ identity }) => identity)).toEqual(['bob', 'carol'])
    expect(room.localParticipant.isSpeaking).toBe(false)
    void room.disconnect()
  })

  it('are removed when the participant leaves, when its session ends, and when the connection ends', () => {
    const { room, speakers } = joined()
    const bob = room.remoteParticipants.get('bob')!
    const all = [speaks('bob', 0.5), speaks('carol', 0.25), speaks('me', 0.125)]
    say(room, 'speakersChanged', { speakers: all })
    say(room, 'update', { participants: [participant('bob', 'PA_new')] })
    expect([bob.isSpeaking, bob.audioLevel]).toEqual([false, 0])
    say(room, 'update', { participants: [{ ...participant('carol'), state: 3 }] })
    void room.disconnect()
    expect(speakers).toEqual([['bob', 'carol', 'me'], ['carol', 'me'], ['me'], []])
    expect([room.localParticipant.isSpeaking, room.activeSpeakers]).toEqual([false, []])
  })

  it('are given to listeners as lists of their own, which they may keep and change', () => {
    const { room } = joined()
    room.on(RoomEvent.ActiveSpeakersChanged, (all) => (all.length = 0))
    say(room, 'speakersChanged', { speakers: [speaks('bob', 0.5)] })
    expect(room.activeSpeakers).toHaveLength(1)
    void room.disconnect()
  })
})

describe('connection quality', () => {
  it('is unknown at first, and then what the server reported last; each change emits an event', () => {
    const { room, qualities } = joined()
    const quality = () => room.remoteParticipants.get('bob')!.connectionQuality
    expect([quality(), room.localParticipant.connectionQuality]).toEqual(['unknown', 'unknown'])
    const tell = (...updates: [string, number | undefined][]): void =>
      say(room, 'connectionQuality', {
        updates: updates.map(([sid, number]) => ({ participantSid: `PA_${sid}`, quality: number, score: 4 })),
      })
    tell(['bob', 2], ['me', 1])
    tell(['bob', 2], ['me', undefined])
    tell(['bob', 3], ['stranger', 2])
    expect(qualities).toEqual(['bob excellent', 'me good', 'me poor', 'bob lost'])
    expect(quality()).toBe('lost')
    say(room, 'update', { participants: [participant('bob', 'PA_new')] })
    expect(quality()).toBe('unknown')
    void room.disconnect()
    expect(room.localParticipant.connectionQuality).toBe('unknown')
  })
})

describe('invalid values from a server', () => {
  it.each([
    ['speakersChanged', undefined],
    ['speakersChanged', { speakers: 'all' }],
    ['speakersChanged', { speakers: [null, 7, {}, { sid: 7, active: true }] }],
    ['speakersChanged', { speakers: [{ ...speaks('bob', NaN) }, { ...speaks('bob', 0), active: 1 }] }],
    ['connectionQuality', undefined],
    ['connectionQuality', { updates: {} }],
    ['connectionQuality', { updates: [null, 7, {}, { participantSid: 'PA_bob', quality: 77 }] }],
    ['connectionQuality', { updates: [{ participantSid: 'PA_bob', quality: 'length' }] }],
  ])('%s %j changes nothing, and is logged once', (kind, value) => {
    const { room, speakers, qualities } = joined()
    const logged: string[] = []
    const note = (_fields: unknown, text?: string): number => logged.push(text ?? '')
    setLogger({ trace: note, debug: note, info: note, warn: note, error: note })
    say(room, kind, value)
    say(room, kind, value)
    expect(speakers.filter((all) => all.length > 0)).toEqual([])
    expect(qualities).toEqual([])
    expect(room.remoteParticipants.get('bob')).toMatchObject({
      isSpeaking: false,
      audioLevel: 0,
      connectionQuality: 'unknown',
    })
    expect(logged.filter((text) => text.includes('malformed'))).toHaveLength(1)
    void room.disconnect()
  })

  it('levels out of range are clamped, and a list of thousands is processed in one pass', () => {
    const { room } = joined()
    const many = Array.from({ length: 10_000 }, (_, index) => speaks(String(index), 1))
    say(room, 'speakersChanged', { speakers: [speaks('bob', 99), speaks('carol', -1), ...many] })
    expect(room.activeSpeakers.map(({ audioLevel }) => audioLevel)).toEqual([1, 0])
    void room.disconnect()
  })
})

describe('the scenario speaker of the loopback', () => {
  it('makes a participant an active speaker for 3 s, in the rooms of all participants', () =>
    withPair(async ({ alice, bob }) => {
      const heard: boolean[] = []
      await until(() => bob.remoteParticipants.has('alice'))
      bob.on(RoomEvent.ActiveSpeakersChanged, ([speaker]) => heard.push(speaker?.identity === 'alice'))
      vi.useFakeTimers({ toFake: ['setTimeout'] })
      await alice.simulateScenario('speaker')
      await until(() => heard.length === 1)
      expect([alice.localParticipant.isSpeaking, alice.localParticipant.audioLevel]).toEqual([true, 0.9])
      await vi.advanceTimersByTimeAsync(2999)
      await turn()
      expect(heard).toEqual([true])
      await vi.advanceTimersByTimeAsync(1)
      await until(() => heard.length === 2)
      expect(heard).toEqual([true, false])
      expect(alice.localParticipant.isSpeaking).toBe(false)
    }))
})
