/** Thousands of subscriptions at once. The proxy stands in for a server that has so many tracks. */
import {
  DataTrackInfo,
  DataTrackSubscriberHandles,
  DataTrackSubscriberHandles_PublishedDataTrack,
  ParticipantInfo,
  ParticipantInfo_State,
  ParticipantUpdate,
} from '@livekit/protocol'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { until } from '../helpers/rooms'
import { Scene } from '../helpers/scene'
import { SignalProxy } from '../helpers/signal-proxy'
import { withServer } from '../helpers/with-server'

/**
 * Four requests are sent in 10 ms. The requests for so many tracks therefore take longer than 10 s, which is the time
 * limit for the answer to one.
 */
const TRACKS = 4237
const PUBLISHERS = 2
/** The server sends its table of handles after so many requests. */
const TABLE = 100

const server = withServer()
let proxy: SignalProxy
beforeAll(async () => {
  proxy = await SignalProxy.start(server.url)
})
afterAll(() => proxy.close())

function publishers(state: ParticipantInfo_State): ParticipantUpdate {
  const participants = Array.from({ length: PUBLISHERS }, (_, publisher) => {
    const mine = Array.from({ length: TRACKS }, (_, index) => index).filter(
      (index) => index % PUBLISHERS === publisher,
    )
    const dataTracks = mine.map(
      (index) => new DataTrackInfo({ pubHandle: index + 1, sid: `DTR_${index}`, name: `track ${index}` }),
    )
    return new ParticipantInfo({
      identity: `publisher ${publisher}`,
      sid: `PA_${publisher}`,
      state,
      dataTracks,
    })
  })
  return new ParticipantUpdate({ participants })
}

it('no subscription times out while its request waits behind thousands', { timeout: 120_000 }, () =>
  Scene.with(server, async (scene) => {
    const alice = await scene.join('alice', { url: proxy.url })
    const subHandles: Record<number, DataTrackSubscriberHandles_PublishedDataTrack> = {}
    const asked = new Set<string>()
    proxy.onRequest(({ message }) => {
      if (message.case !== 'updateDataSubscription') return
      for (const { trackSid, subscribe } of message.value.updates) {
        if (!subscribe || asked.has(trackSid)) continue
        asked.add(trackSid)
        subHandles[asked.size] = new DataTrackSubscriberHandles_PublishedDataTrack({ trackSid })
        if (asked.size % TABLE > 0 && asked.size < TRACKS) continue
        const value = new DataTrackSubscriberHandles({ subHandles })
        proxy.say({ case: 'dataTrackSubscriberHandles', value })
      }
    })
    proxy.say({ case: 'update', value: publishers(ParticipantInfo_State.ACTIVE) })
    const ends: Promise<unknown>[] = []
    for await (const track of alice.dataTracks()) {
      ends.push(
        track
          .subscribe()
          .read()
          .catch((error: unknown) => (error as { reason: string }).reason),
      )
      if (ends.length === TRACKS) break
    }
    await until(() => asked.size === TRACKS)
    // The tracks end. A stream whose subscription has succeeded then ends without an error.
    proxy.say({ case: 'update', value: publishers(ParticipantInfo_State.DISCONNECTED) })
    expect(new Set(await Promise.all(ends))).toEqual(new Set([undefined]))
    expect(alice.isConnected).toBe(true)
  }),
)
