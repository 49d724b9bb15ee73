/** Sections for audio in the session description: the server, or one that is hostile, asks for them at any time. */
import { once } from 'node:events'
import { MediaSectionsRequirement } from '@livekit/protocol'
import { expect, it } from 'vitest'
import { Room, RoomEvent } from '../../index'
import { MAX_AUDIO_SECTIONS } from '../../src/native/native'
import { numberedFlow } from '../helpers/numbered-flow'
import { SignalProxy } from '../helpers/signal-proxy'
import { withServer } from '../helpers/with-server'

const server = withServer()

interface Stage {
  readonly proxy: SignalProxy
  readonly near: Room
  readonly far: Room
  /** Sections for audio of each offer of the near room. */
  readonly offers: readonly number[]
  /** Asks in the name of the server, and resolves when the offer is answered. */
  readonly ask: (numAudios: number, numVideos?: number) => Promise<void>
}

/** Two rooms; the server's messages to the near one go through a proxy. */
async function staged(use: (stage: Stage) => Promise<void>): Promise<void> {
  const proxy = await SignalProxy.start(server.url)
  const [near, far] = [new Room(), new Room()]
  const offers = proxy.audioSections()
  const say = (numAudios: number, numVideos = 0): void =>
    proxy.say({
      case: 'mediaSectionsRequirement',
      value: new MediaSectionsRequirement({ numAudios, numVideos }),
    })
  try {
    // A failure has to be noticed by itself: the test ends earlier than this attempt.
    await near.connect(proxy.url, await server.token('sections', 'near'), { connectTimeout: 60_000 })
    await far.connect(server.url, await server.token('sections', 'far'))
    await use({
      proxy,
      near,
      far,
      offers,
      ask: async (numAudios, numVideos) => {
        const answered = proxy.next('answer')
        say(numAudios, numVideos)
        await answered
      },
    })
  } finally {
    await near.disconnect()
    await far.disconnect()
    await proxy.close()
  }
}

it('data tracks at 1,000 frames a second lose nothing through 100 offers', () =>
  staged(async ({ near, far, offers, ask }) => {
    const flows = await Promise.all([numberedFlow(server, near, far), numberedFlow(server, far, near)])
    for (let count = 0; count < 100; count++) await ask(count % 10 === 0 ? 1 : 0)
    for (const stop of flows) await stop()
    expect(offers).toEqual(Array.from({ length: 100 }, (_, index) => 1 + Math.floor(index / 10)))
    expect(near.state).toBe('connected')
  }))

it('offers are made one at a time, and one whose answer is lost costs a new connection', () =>
  staged(async ({ proxy, near, far, offers, ask }) => {
    const release = proxy.keepAllBack('answer')
    await ask(1)
    for (let count = 0; count < 50; count++) void ask(1)
    release()
    const back = once(near, RoomEvent.Reconnected)
    await near.simulateScenario('signal-reconnect')
    await back
    // The server may have taken the new section, or not.
    expect([offers, near.stats().rebuilds]).toEqual([[1], 1])
    const stop = await numberedFlow(server, near, far)
    await ask(1)
    await stop()
    expect(offers).toEqual([1, 1])
  }))

it('a server that asks for video, or for nothing, gets no offer', () =>
  staged(async ({ proxy, offers, ask }) => {
    for (const [numAudios, numVideos] of [
      [0, 0],
      [0, 5],
      [0, 4_294_967_295],
    ] as const)
      proxy.say({
        case: 'mediaSectionsRequirement',
        value: new MediaSectionsRequirement({ numAudios, numVideos }),
      })
    await ask(1)
    expect(offers).toEqual([1])
  }))

it('sections are bounded, whatever a server asks for, and data still flows', () =>
  staged(async ({ near, far, offers, ask }) => {
    await ask(4_294_967_295)
    await ask(4_294_967_295)
    expect(offers).toEqual([MAX_AUDIO_SECTIONS, MAX_AUDIO_SECTIONS])
    const stop = await numberedFlow(server, near, far)
    await ask(0)
    await stop()
  }))
