/** Numbered frames from one room to the other, a thousand a second. */
import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'vitest'
import type { Room } from '../../index'
import type { LivekitServer } from './livekit-server'
import { lostByServer } from './scene'

/** ms between the groups of frames, and frames of a group. */
const PACE = 10
const GROUP = 10

/** Frames that livekit-server puts into one datagram at most. */
const FRAMES_PER_DATAGRAM = 11

/**
 * Sends frames until the returned function is called. It checks that all of them have arrived, in order, except those
 * that the server has lost.
 */
export async function numberedFlow(
  server: LivekitServer,
  from: Room,
  to: Room,
): Promise<() => Promise<void>> {
  const name = `from ${from.localParticipant.identity}`
  // A busy machine may let frames wait for longer than usual. That is no loss.
  const track = await from.localParticipant.publishDataTrack({ name, maxQueueAge: Infinity })
  const { value: remote } = await to.dataTracks({ name }).next()
  const stream = remote!.subscribe({ maxBufferAge: Infinity })
  await stream.ready
  const lost = (): number => lostByServer({ servers: [server], local: track, to }, FRAMES_PER_DATAGRAM)
  const before = lost()
  const numbers: number[] = []
  const reading = (async () => {
    for await (const { payload } of stream) numbers.push(Buffer.from(payload).readUInt32LE())
  })()
  let [sent, stopped] = [0, false]
  const sending = (async () => {
    while (!stopped) {
      for (let count = 0; count < GROUP; count++) {
        const payload = Buffer.alloc(100)
        payload.writeUInt32LE(sent++)
        track.tryPush({ payload })
      }
      await delay(PACE)
    }
  })()
  return async () => {
    stopped = true
    await sending
    await track.unpublish()
    await reading
    expect(numbers).toEqual([...new Set(numbers)].sort((left, right) => left - right))
    expect(numbers.length + lost() - before, `frames of ${sent}`).toBeGreaterThanOrEqual(sent)
  }
}
