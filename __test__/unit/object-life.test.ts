/**
 * The life of each object: what happens when it is closed twice, used after close, never closed, and collected. The
 * type of the table demands an answer to all four. What else there is to ask follows the table. process-life.test.ts
 * asks whole processes.
 */
import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import {
  DataTrackClosedError,
  debug,
  ExternalE2EEKeyProvider,
  LocalDataTrackManager,
  Loopback,
  RemoteDataTrackManager,
  Room,
  RoomEvent,
  setLogger,
} from '../../index'
import type { RemoteDataTrack } from '../../index'
import { publisher, subscriber } from '../helpers/managers'
import {
  collectedWhen,
  publish,
  rejection,
  subscribe,
  take,
  thrown,
  turn,
  until,
  withPair,
} from '../helpers/rooms'

const payload = new Uint8Array([1])

type Question = 'closed twice' | 'used after close' | 'never closed' | 'collected'
type Answers = Record<Question, () => void | Promise<void>>

/** Waits until what `make` returned is gone, although what `keep` holds is not. */
async function isCollected(make: () => object | Promise<object>): Promise<void> {
  const weak = new WeakRef(await make())
  await turn()
  await collectedWhen(() => weak.deref() === undefined)
}

function alive(kind: string): number {
  return debug.handles().filter((handle) => handle.kind === kind).length
}

const loopback: Answers = {
  'closed twice': async () => {
    const sfu = new Loopback()
    const reasons: string[] = []
    sfu.join('alice').on(RoomEvent.Disconnected, (reason) => reasons.push(reason))
    sfu.close()
    sfu.close()
    await sfu[Symbol.asyncDispose]()
    expect(reasons).toEqual(['serverShutdown'])
    expect(debug.handles()).toEqual([])
  },
  'used after close': async () => {
    const sfu = new Loopback()
    const alice = sfu.join('alice')
    sfu.close()
    expect(alice.state).toBe('disconnected')
    for (const call of [
      () => sfu.join('bob'),
      () => sfu.stats(),
      () => sfu.setNetwork({}),
      () => sfu.kick('alice'),
      () => sfu.unpublish('DTR_a'),
      () => sfu.rejectNextPublish(),
    ]) {
      expect(thrown(call)).toBeInstanceOf(DataTrackClosedError)
    }
    expect(await rejection(sfu.reconnect('alice', 'full'))).toBeInstanceOf(DataTrackClosedError)
  },
  'never closed': async () => {
    // If only its rooms hold it, it works on. It is collected with the last of them.
    const join = () => {
      const sfu = new Loopback()
      return [sfu.join('alice'), sfu.join('bob')] as const
    }
    const [alice, bob] = join()
    for (let round = 0; round < 3; round++) {
      gc!()
      await turn()
    }
    await alice.localParticipant.publishDataTrack({ name: 'track' })
    await bob.remoteParticipants.get('alice')!.dataTracks.getDeferred('track')
    await alice.disconnect()
    await bob.disconnect()
    await collectedWhen(() => alive('loopback') === 0)
  },
  collected: async () => {
    await isCollected(() => new Loopback())
    await isCollected(() => {
      const sfu = new Loopback()
      sfu.join('alice')
      sfu.close()
      return sfu
    })
  },
}

const room: Answers = {
  'closed twice': () =>
    withPair(async ({ alice }) => {
      let told = 0
      alice.on(RoomEvent.Disconnected, () => told++)
      await Promise.all([alice.disconnect(), alice.disconnect()])
      await alice.disconnect()
      await alice[Symbol.asyncDispose]()
      expect(told).toBe(1)
    }),
  'used after close': () =>
    withPair(async ({ sfu, alice, bob }) => {
      await alice.disconnect()
      expect(alice.isConnected).toBe(false)
      expect(alice.unref().ref().packetStats().received).toBe(0)
      expect((await rejection(alice.localParticipant.publishDataTrack({ name: 'a' }))).reason).toBe(
        'disconnected',
      )
      // A loop that begins now has the tracks of the next connection, which the same room can have.
      const loop = alice.dataTracks().next()
      await bob.localParticipant.publishDataTrack({ name: 'later' })
      sfu.join('alice', { room: alice })
      expect((await loop).value?.name).toBe('later')
    }),
  'never closed': () =>
    withPair(async ({ sfu, alice }) => {
      // Nothing holds it, but it is connected: its listeners are called.
      const seen: string[] = []
      const join = () => {
        sfu.join('carol').on(RoomEvent.DataTrackPublished, ({ name }) => seen.push(name))
      }
      join()
      for (let round = 0; round < 3; round++) {
        gc!()
        await turn()
      }
      await alice.localParticipant.publishDataTrack({ name: 'track' })
      await until(() => seen.length > 0)
      expect(seen).toEqual(['track'])
    }),
  collected: async () => {
    await isCollected(() => new Room())
    await withPair(({ sfu }) =>
      isCollected(async () => {
        const carol = sfu.join('carol')
        const track = await carol.localParticipant.publishDataTrack({ name: 'track' })
        track.tryPush(payload)
        await carol.disconnect()
        return carol
      }),
    )
  },
}

const localTrack: Answers = {
  'closed twice': () =>
    withPair(async (pair) => {
      const { local } = await publish(pair)
      const ends: string[] = []
      pair.alice.on(RoomEvent.LocalDataTrackUnpublished, (_sid, { reason }) => ends.push(reason))
      await Promise.all([local.unpublish(), local.unpublish()])
      await local[Symbol.asyncDispose]()
      // What the SFU and the end of the room say later changes nothing.
      await turn()
      await pair.alice.disconnect()
      expect(ends).toEqual(['local'])
      expect(local.signal.reason.reason).toBe('local')
    }),
  'used after close': () =>
    withPair(async (pair) => {
      const { local } = await publish(pair)
      local.tryPush(payload)
      await local.flush()
      await local.unpublish()
      expect(thrown(() => local.tryPush(payload)).reason).toBe('trackUnpublished')
      expect((await rejection(local.push(payload))).reason).toBe('trackUnpublished')
      await local.flush()
      expect(local.isPublished()).toBe(false)
      expect(local.bufferedAmount).toBe(0)
      expect(local.maxFrameLength).toBeGreaterThan(1_000_000)
      expect(local.info.name).toBe('track')
      // Three: two were refused after its end, and are not in `pushed`.
      expect(local.stats()).toMatchObject({ pushed: 1, sent: 1, queued: 0 })
    }),
  'never closed': () =>
    withPair(async (pair) => {
      const forget = async () => {
        await publish(pair, { name: 'forgotten', maxQueueAge: 1000 })
      }
      await forget()
      for (let round = 0; round < 3; round++) {
        gc!()
        await turn()
      }
      // It stays published until its room ends.
      const remote = pair.bob.remoteParticipants.get('alice')!.dataTracks.get('forgotten')!
      expect(remote.isPublished()).toBe(true)
      await pair.alice.disconnect()
      await until(() => !remote.isPublished())
      expect(alive('publication')).toBe(0)
    }),
  collected: () =>
    withPair((pair) =>
      isCollected(async () => {
        const { local } = await publish(pair)
        expect(getEventListeners(local.signal, 'abort')).toHaveLength(0)
        await local.unpublish()
        return local
      }),
    ),
}

const remoteTrack: Answers = {
  'closed twice': () =>
    withPair(async (pair) => {
      // It is not closed, it ends: once, whatever comes after.
      const { local, remote } = await publish(pair)
      let ends = 0
      pair.bob.on(RoomEvent.DataTrackUnpublished, () => ends++)
      await local.unpublish()
      await until(() => !remote.isPublished())
      await pair.alice.disconnect()
      await pair.bob.disconnect()
      expect(ends).toBe(1)
    }),
  'used after close': () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      local.tryPush(payload)
      await take(stream, 1)
      await local.unpublish()
      await until(() => !remote.isPublished())
      expect(remote.stats()).toMatchObject({ opened: 1, completed: 1 })
      expect(remote.info.name).toBe('track')
      expect((await rejection(remote.subscribe().read())).reason).toBe('unpublished')
      remote.setPipelineOptions({ maxPartialFrames: 3 })
      // The stream has ended, and not failed.
      expect(await stream.read()).toBeUndefined()
    }),
  'never closed': () =>
    withPair(async (pair) => {
      const { remote } = await publish(pair)
      await pair.bob.disconnect()
      expect(remote.isPublished()).toBe(false)
      expect(pair.bob.remoteParticipants.size).toBe(0)
    }),
  collected: () =>
    withPair((pair) =>
      isCollected(async () => {
        const { local, remote } = await publish(pair)
        const stream = await subscribe(remote)
        local.tryPush(payload)
        await take(stream, 1)
        await local.unpublish()
        await until(() => !remote.isPublished())
        return remote
      }),
    ),
}

const stream: Answers = {
  'closed twice': () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const closed = await subscribe(remote)
      const other = await subscribe(remote)
      closed.close()
      closed.close()
      await closed.cancel()
      await closed[Symbol.asyncDispose]()
      // Had it unsubscribed twice, the other one's subscription would be gone.
      await turn()
      local.tryPush(payload)
      expect((await take(other, 1))[0].payload).toEqual(payload)
      expect(alive('stream')).toBe(1)
    }),
  'used after close': () =>
    withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const closed = await subscribe(remote)
      local.tryPush(payload)
      await until(() => closed.stats().received === 1)
      closed.close()
      local.tryPush(payload)
      expect(await closed.read()).toBeUndefined()
      for await (const _ of closed) throw new Error('a frame after the end')
      const reader = closed.getReader()
      await reader.closed
      expect(await reader.read()).toEqual({ done: true, value: undefined })
      expect(closed.stats()).toMatchObject({ received: 1, delivered: 0, buffered: 0, dropped: { closed: 1 } })
    }),
  'never closed': () =>
    withPair(async (pair) => {
      // It ends with its track, and frees what it had when it is read to its end.
      const { local, remote } = await publish(pair)
      const { signal } = new AbortController()
      const ended = await subscribe(remote, { signal })
      local.tryPush(payload)
      await until(() => ended.stats().received === 1)
      await local.unpublish()
      const frames = []
      for await (const frame of ended) frames.push(frame)
      expect(frames).toHaveLength(1)
      expect(alive('stream')).toBe(0)
      expect(getEventListeners(signal, 'abort')).toHaveLength(0)
    }),
  collected: () =>
    withPair(async (pair) => {
      const { remote } = await publish(pair)
      const { signal } = new AbortController()
      // Closed, failed, or neither: what is left are the track and the signal.
      await isCollected(async () => {
        const closed = await subscribe(remote, { signal })
        closed.close()
        return closed
      })
      await isCollected(() => subscribe(remote, { signal }))
      await isCollected(() => remote.subscribe({ signal })[Symbol.asyncIterator]())
      await collectedWhen(() => alive('stream') === 0)
      expect(getEventListeners(signal, 'abort')).toHaveLength(0)
    }),
}

const tracksLoop: Answers = {
  'closed twice': () =>
    withPair(async ({ bob }) => {
      const loop = bob.dataTracks()
      expect(await loop.return!()).toEqual({ done: true, value: undefined })
      expect(await loop.return!()).toEqual({ done: true, value: undefined })
      await loop[Symbol.asyncDispose]()
    }),
  'used after close': () =>
    withPair(async (pair) => {
      const loop = pair.bob.dataTracks()
      const waiting = loop.next()
      await loop.return!()
      expect(await waiting).toEqual({ done: true, value: undefined })
      await publish(pair)
      expect(await loop.next()).toEqual({ done: true, value: undefined })
    }),
  'never closed': () =>
    withPair(async ({ bob }) => {
      const waiting = bob.dataTracks().next()
      await bob.disconnect()
      expect(await waiting).toEqual({ done: true, value: undefined })
    }),
  collected: () =>
    withPair(async ({ bob }) => {
      const { signal } = new AbortController()
      await isCollected(async () => {
        const loop = bob.dataTracks({ signal })
        void loop.next()
        await loop.return!()
        return loop
      })
      expect(getEventListeners(signal, 'abort')).toHaveLength(0)
    }),
}

const localManager: Answers = {
  'closed twice': async () => {
    const { manager, track } = await publisher()
    manager.close()
    manager.close()
    await manager[Symbol.asyncDispose]()
    expect(track.signal.reason.reason).toBe('disconnected')
    expect(debug.handles()).toEqual([])
  },
  'used after close': async () => {
    const { manager, track } = await publisher()
    manager.close()
    expect((await rejection(manager.publishDataTrack({ name: 'a' }))).code).toMatch(/^ERR_DATATRACK_/)
    expect(thrown(() => manager.handleConnectionLost())).toBeInstanceOf(DataTrackClosedError)
    expect(thrown(() => manager.pollTransmit(new Uint8Array(16_000)))).toBeInstanceOf(DataTrackClosedError)
    expect(manager.nextTimeout()).toBe(-1)
    expect(thrown(() => track.tryPush(payload)).name).toBe('DataTrackPushFrameError')
  },
  'never closed': async () => {
    const forget = async () => {
      const { track } = await publisher()
      track.tryPush(payload)
    }
    await forget()
    await collectedWhen(() => alive('session') === 0 && alive('publication') === 0)
  },
  collected: () =>
    isCollected(() => {
      const manager = new LocalDataTrackManager()
      manager.close()
      return manager
    }),
}

const remoteManager: Answers = {
  'closed twice': async () => {
    const { manager, stream, track } = await subscriber()
    manager.close()
    manager.close()
    await manager[Symbol.asyncDispose]()
    expect(track.isPublished()).toBe(false)
    expect(await stream.read()).toBeUndefined()
    expect(debug.handles()).toEqual([])
  },
  'used after close': async () => {
    const { manager, track } = await subscriber()
    manager.close()
    expect(manager.tracks).toEqual([])
    expect(thrown(() => manager.handlePacket(payload))).toBeInstanceOf(DataTrackClosedError)
    expect(thrown(() => manager.handleSubscriberHandles(new Map()))).toBeInstanceOf(DataTrackClosedError)
    expect((await rejection(track.subscribe().read())).reason).toBe('unpublished')
  },
  'never closed': async () => {
    const forget = async () => {
      const { track } = await subscriber()
      expect(track.isPublished()).toBe(true)
    }
    await forget()
    await collectedWhen(() => alive('session') === 0 && alive('stream') === 0)
  },
  collected: () =>
    isCollected(() => {
      const manager = new RemoteDataTrackManager()
      manager.close()
      return manager
    }),
}

const keyProvider: Answers = {
  // It has no end of its own: what it serves has.
  'closed twice': async () => {
    const provider = new ExternalE2EEKeyProvider()
    const sfu = new Loopback()
    const alice = sfu.join('alice', { encryption: { keyProvider: provider } })
    await alice.disconnect()
    await alice.disconnect()
    sfu.close()
    await provider.setKey('a passphrase')
  },
  'used after close': async () => {
    const provider = new ExternalE2EEKeyProvider()
    const encryption = { keyProvider: provider }
    const sfu = new Loopback()
    sfu.join('alice', { encryption })
    // The room that wants the key is closed while it is derived; the provider goes on to serve others.
    const set = provider.setKey('a passphrase', { keyIndex: 2 })
    sfu.close()
    await set
    await provider.ratchetKey(undefined, 2)
    const { manager, track, packets } = await publisher({ encryption })
    track.tryPush(payload)
    expect(packets()).toHaveLength(1)
    manager.close()
  },
  'never closed': async () => {
    const provider = new ExternalE2EEKeyProvider()
    await provider.setKey('a passphrase')
    const forget = async () => {
      await publisher({ encryption: { keyProvider: provider } })
    }
    await forget()
    // The provider lives, and does not keep what has used it.
    await collectedWhen(() => alive('session') === 0)
    await provider.setKey('another passphrase')
  },
  collected: () =>
    isCollected(async () => {
      const provider = new ExternalE2EEKeyProvider()
      await provider.setKey('a passphrase')
      const { manager } = await publisher({ encryption: { keyProvider: provider } })
      manager.close()
      return provider
    }),
}

describe.each<[string, Answers]>([
  ['a loopback', loopback],
  ['a room', room],
  ['a local track', localTrack],
  ['a remote track', remoteTrack],
  ['a stream', stream],
  ['a loop over tracks', tracksLoop],
  ['a publishing manager', localManager],
  ['a subscribing manager', remoteManager],
  ['a key provider', keyProvider],
])('%s', (_name, answers) => {
  it.each(Object.entries(answers))('%s', async (_question, answer) => answer())
})

describe('a stream in use', () => {
  it('is not collected while its next frame is awaited', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const wait = (track: RemoteDataTrack) => track.subscribe().read()
      const waiting = wait(remote)
      for (let round = 0; round < 5; round++) {
        await turn()
        gc!()
      }
      expect(alive('stream')).toBe(1)
      local.tryPush(payload)
      expect((await waiting)!.payload).toEqual(payload)
      await collectedWhen(() => alive('stream') === 0)
    })
  })

  it('is not collected while a loop runs that holds its iterator only', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      let frames = 0
      const loop = (async () => {
        for await (const _ of remote.subscribe()) {
          gc!()
          if (++frames === 3) break
        }
      })()
      await turn()
      while (frames < 3) {
        local.tryPush(payload)
        await turn()
        gc!()
      }
      await loop
    })
  })
})

describe('a local track', () => {
  it('that was collected stays published, and a warning is logged', async () => {
    const warnings: string[] = []
    const ignore = () => undefined
    const warn = (_: object, message: string) => void warnings.push(message)
    setLogger({ trace: ignore, debug: ignore, info: ignore, warn, error: ignore })
    try {
      await withPair(async ({ alice, bob }) => {
        await (async () => {
          await alice.localParticipant.publishDataTrack({ name: 'forgotten' })
        })()
        await collectedWhen(() => warnings.length > 0)
        expect(warnings[0]).toContain('"forgotten"')
        expect(bob.remoteParticipants.get('alice')!.dataTracks.get('forgotten')!.isPublished()).toBe(true)
      })
    } finally {
      setLogger(undefined)
    }
  })

  it('can still be read after its room has ended', async () => {
    const sfu = new Loopback()
    const alice = sfu.join('alice')
    const track = await alice.localParticipant.publishDataTrack({ name: 'a' })
    track.tryPush({ payload })
    sfu.close()
    expect(track.isPublished()).toBe(false)
    expect(track.info.name).toBe('a')
    expect(track.bufferedAmount).toBe(0)
    expect(track.stats().pushed).toBe(1)
    expect(track.maxFrameLength).toBeGreaterThan(0)
    await track.unpublish()
    await track.flush()
    await track[Symbol.asyncDispose]()
    expect((await rejection(track.push({ payload }))).name).toBe('DataTrackPushFrameError')
  })
})

describe('a remote track', () => {
  it('can still be read after its room has ended', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      local.tryPush(payload)
      await take(stream, 1)
      await pair.bob.disconnect()
      expect(remote.isPublished()).toBe(false)
      expect(remote.info.name).toBe('track')
      expect(typeof remote.stats().completed).toBe('number')
      remote.setPipelineOptions({})
      expect((await rejection(remote.subscribe().read())).reason).toBe('unpublished')
    })
  })
})
