import { afterEach, expect, test, vi } from 'vitest'
import { roundTrip } from '../../src/check/round-trip'
import type { LocalDataTrack } from '../../src/data-track/local'
import type { DataTrackStream } from '../../src/data-track/stream'

afterEach(() => {
  vi.useRealTimers()
})

test('the doctor sends a frame until it comes back, whatever the network loses', async () => {
  vi.useFakeTimers()
  const arrives = 6
  let sent = 0
  let comeBack: (frame: unknown) => void
  const read = new Promise((resolve) => {
    comeBack = resolve
  })
  const send = (frame: unknown): void => {
    sent += 1
    if (sent === arrives) comeBack(frame)
  }
  const local = { push: async (frame: unknown) => send(frame), tryPush: send, isPublished: () => true }
  const trip = roundTrip(
    local as unknown as LocalDataTrack,
    { read: () => read } as unknown as DataTrackStream,
    100_000,
    new AbortController().signal,
  )
  await vi.advanceTimersByTimeAsync(10_000)
  expect(sent).toBe(arrives)
  expect(await trip).toBeGreaterThan(0)
})
