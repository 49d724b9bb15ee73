/** Each object answers four questions: closed twice, used after close, never closed, collected. */
import { describe, expect, it } from 'vitest'
import {
  DataTrackClosedError,
  debug,
  ExternalE2EEKeyProvider,
  LocalDataTrackManager,
  Loopback,
  RemoteDataTrackManager,
  setLogger,
  setLogLevel,
  SignalDispatcher,
} from '../../index'
import type { RemoteDataTrack } from '../../index'
import { collectedWhen, publish, rejection, subscribe, take, thrown, turn, withPair } from '../helpers/rooms'

const payload = new Uint8Array([1])

function alive(kind: string): number {
  return debug.handles().filter((handle) => handle.kind === kind).length
}

describe('a stream', () => {
  it('closed twice, and used after close', async () => {
    await withPair(async (pair) => {
      const { local, remote } = await publish(pair)
      const stream = await subscribe(remote)
      local.tryPush(payload)
      await take(stream, 1)
      stream.close()
      stream.close()
      await stream[Symbol.asyncDispose]()
      expect(await stream.read()).toBeUndefined()
      for await (const _ of stream) throw new Error('a frame after the end')
      expect(stream.stats()).toMatchObject({ received: 1, delivered: 1 })
      const reader = stream.getReader()
      await reader.closed
      expect(await reader.read()).toEqual({ value: undefined, done: true })
    })
  })

  it('never closed, and collected: it unsubscribes', async () => {
    await withPair(async (pair) => {
      const { remote } = await publish(pair)
      const { signal } = new AbortController()
      const forget = () => {
        // A signal that lives on must not keep it.
        const iterator = remote.subscribe({ signal })[Symbol.asyncIterator]()
        expect(iterator).toBeDefined()
      }
      forget()
      expect(alive('stream')).toBe(1)
      await collectedWhen(() => alive('stream') === 0)
    })
  })

  it('is not collected while somebody waits for its next frame', async () => {
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

  it('is not collected while a loop that only has the iterator goes on', async () => {
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

describe('a published track', () => {
  it('never closed, and collected: it stays published, and says so', async () => {
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

  it('used after its room is gone', async () => {
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
  it('used after its end', async () => {
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

describe('a manager', () => {
  it('never closed, and collected: it is closed', async () => {
    const keyProvider = new ExternalE2EEKeyProvider()
    await keyProvider.setKey('a passphrase')
    const forget = async () => {
      const local = new LocalDataTrackManager({ encryption: { keyProvider } })
      const remote = new RemoteDataTrackManager()
      remote.handlePublicationUpdate('alice', [{ sid: 'DTR_a', pubHandle: 1, name: 'a', usesE2ee: false }])
      expect(remote.tracks).toHaveLength(1)
      await local.ready
    }
    await forget()
    expect(alive('session')).toBe(2)
    await collectedWhen(() => alive('session') === 0)
    await keyProvider.setKey('another passphrase')
  })
})

describe('a loopback', () => {
  it('closed twice, and used after close', () => {
    const sfu = new Loopback()
    const alice = sfu.join('alice')
    sfu.close()
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
    expect(debug.handles()).toEqual([])
  })

  it('never closed, and collected: nothing is left', async () => {
    const forget = () => expect(new Loopback().stats().forwarded).toBe(0)
    forget()
    await collectedWhen(() => alive('loopback') === 0)
  })

  it('checks its arguments', async () => {
    const wrong: [object, string][] = [
      [{ loss: 1.1 }, 'loss'],
      [{ delay: -1 }, 'delay'],
      [{ seed: 0.5 }, 'seed'],
      [{ jitter: '1' }, 'jitter'],
      [{ stall: 5 }, 'stall'],
      [{ bandwidth: NaN }, 'bandwidth'],
    ]
    for (const [options, name] of wrong) expect(thrown(() => new Loopback(options)).message).toContain(name)
    await withPair(async ({ sfu }) => {
      expect(thrown(() => sfu.join('')).code).toBe('ERR_OUT_OF_RANGE')
      expect(thrown(() => sfu.join(1 as any)).code).toBe('ERR_INVALID_ARG_TYPE')
      expect(thrown(() => sfu.kick('nobody')).code).toBe('ERR_OUT_OF_RANGE')
      expect((await rejection(sfu.reconnect('alice', 'half' as 'full'))).message).toContain(
        "'resume', 'full'",
      )
      expect(thrown(() => sfu.rejectNextPublish('never' as 'notAllowed')).message).toContain('notAllowed')
    })
  })

  it('loses and doubles what it is told to', async () => {
    await withPair(
      async (pair) => {
        const { local, remote } = await publish(pair, { maxQueueAge: Infinity })
        const stream = await subscribe(remote)
        for (let index = 0; index < 1000; index++) local.tryPush(payload)
        await local.flush()
        while (local.stats().sent > pair.sfu.stats().forwarded + pair.sfu.stats().lost) await turn()
        const { lost, duplicated, forwarded } = pair.sfu.stats()
        expect(lost).toBeGreaterThan(100)
        expect(lost).toBeLessThan(300)
        expect(duplicated).toBeGreaterThan(0)
        expect(forwarded + lost).toBeGreaterThanOrEqual(1000)
        pair.sfu.setNetwork({ loss: 0, duplicate: 0 })
        expect(stream.locked).toBe(false)
      },
      { loss: 0.2, duplicate: 0.1 },
    )
  })
})

describe('the log', () => {
  it('goes where it is told to, from the level that is set', () => {
    const lines: string[] = []
    const line = (level: string) => (fields: { target: string }, message: string) =>
      void lines.push(`${level} ${fields.target.length > 0} ${message.length > 0}`)
    const [trace, debugLine, info, warn, error] = ['trace', 'debug', 'info', 'warn', 'error'].map(line)
    setLogger({ trace: trace!, debug: debugLine!, info: info!, warn: warn!, error: error! })
    const remote = new RemoteDataTrackManager()
    const dispatcher = new SignalDispatcher({ remote })
    const malformed = () =>
      dispatcher.dispatch({ message: { case: 'dataTrackSubscriberHandles', value: null } })
    try {
      malformed()
      expect(lines).toEqual(['warn true true'])
      setLogLevel('error')
      malformed()
      setLogLevel('silent')
      malformed()
      expect(lines).toHaveLength(1)
      expect(thrown(() => setLogLevel('loud' as 'warn')).code).toBe('ERR_OUT_OF_RANGE')
      expect(thrown(() => setLogger({} as never)).message).toContain('logger.trace')
    } finally {
      remote.close()
      setLogger(undefined)
      setLogLevel('warn')
    }
  })
})
