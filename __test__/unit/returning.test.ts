import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { DataTrackInfo } from '../../index'
import { RETURN_TIME, ReturningParticipants } from '../../src/room/returning'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const track = (sid: string, pubHandle: number, name: string): DataTrackInfo => ({
  sid,
  pubHandle,
  name,
  usesE2ee: false,
})
const [imu, pose] = [track('DTR_1', 1, 'imu'), track('DTR_2', 2, 'pose')]

/** What a session was told of alice, as SIDs. */
function setUp() {
  const told: string[][] = []
  const expired: string[] = []
  const returning = new ReturningParticipants(
    {
      handlePublicationUpdate: (_identity, tracks) => told.push(tracks.map(({ sid }) => sid)),
      handleSubscriberHandles: () => {},
    },
    (identity) => expired.push(identity),
  )
  const says = (...tracks: DataTrackInfo[]) => returning.handlePublicationUpdate('alice', tracks)
  return { returning, told, expired, says }
}

describe('a publisher with a new session', () => {
  it('keeps tracks that it has not published again yet, until it does', () => {
    const { returning, told, expired, says } = setUp()
    says(imu, pose)
    returning.expect('alice')
    says()
    says(track('DTR_3', 1, 'imu'))
    says(track('DTR_3', 1, 'imu'), track('DTR_4', 2, 'pose'))
    expect(told.slice(1)).toEqual([
      ['DTR_1', 'DTR_2'],
      ['DTR_3', 'DTR_2'],
      ['DTR_3', 'DTR_4'],
    ])
    // All are back: what is missing now has ended.
    says(track('DTR_3', 1, 'imu'))
    expect(told.at(-1)).toEqual(['DTR_3'])
    vi.advanceTimersByTime(2 * RETURN_TIME)
    expect([told.length, expired]).toEqual([5, []])
  })

  it('loses tracks that it does not publish again in time', () => {
    const { returning, told, expired, says } = setUp()
    says(imu, pose)
    returning.expect('alice')
    says(track('DTR_3', 1, 'imu'))
    vi.advanceTimersByTime(RETURN_TIME - 1)
    expect(told.at(-1)).toEqual(['DTR_3', 'DTR_2'])
    vi.advanceTimersByTime(1)
    expect([told.at(-1), expired]).toEqual([['DTR_3'], ['alice']])
  })

  it('loses tracks whose name or number another track now has', () => {
    const { returning, told, says } = setUp()
    says(imu, pose)
    returning.expect('alice')
    says(track('DTR_3', 1, 'other'), track('DTR_4', 7, 'pose'))
    expect(told.at(-1)).toEqual(['DTR_3', 'DTR_4'])
  })

  it('loses all tracks when the SFU says that it left', () => {
    const { returning, told, expired, says } = setUp()
    says(imu)
    returning.expect('alice')
    returning.settle('alice')
    says()
    vi.advanceTimersByTime(RETURN_TIME)
    expect([told.at(-1), expired]).toEqual([[], []])
  })

  it('is reported as expired, without tracks, if the server does not name it in time', () => {
    const { returning, told, expired, says } = setUp()
    says(imu)
    returning.expect('alice')
    vi.advanceTimersByTime(RETURN_TIME)
    expect([told.at(-1), expired]).toEqual([[], ['alice']])
  })

  it('is not waited for after the end of the room', () => {
    const { returning, told, expired, says } = setUp()
    says(imu)
    returning.expect('alice')
    returning.close()
    vi.advanceTimersByTime(RETURN_TIME)
    expect([told.length, expired]).toEqual([1, []])
  })
})
