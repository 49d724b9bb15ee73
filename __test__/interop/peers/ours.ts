/** This package's participant as a peer. */
import { setTimeout as delay } from 'node:timers/promises'
import { ExternalE2EEKeyProvider, Room, RoomEvent } from '../../../index'
import type { DataTrackE2eeError, DataTrackStream, LocalDataTrack, RemoteDataTrack } from '../../../index'
import { seen, sum } from '../../helpers/scene'
import { END, paced, payloadOf, Tally, timestampOf, WARM, warmSize } from './pattern'
import type { Received, Run } from './pattern'
import { GRACE } from './peer'
import type { JoinSpec, Key, Keys, Peer } from './peer'

interface Outgoing {
  readonly local: LocalDataTrack
  marking?: { readonly stop: AbortController; readonly done: Promise<void> }
}

interface Incoming {
  readonly remote: RemoteDataTrack
  readonly stream: DataTrackStream
  readonly tally: Tally
  readonly reading: Promise<void>
  /** Called after each frame. */
  readonly waiting: Set<() => void>
}

/** What our counters say of a track. */
export interface Account {
  /** All sums are closed. */
  readonly closed: boolean
  /** Frames that we sent or completed; `warm` and `end` frames are among them. */
  readonly carried: number
  /** Frames that we dropped, by reason. */
  readonly dropped: Readonly<Record<string, number>>
}

export class OurPeer implements Peer {
  readonly kind = 'ours'
  /** `encryptionError` events so far. */
  readonly errors: DataTrackE2eeError[] = []
  readonly #outgoing = new Map<string, Outgoing>()
  readonly #incoming = new Map<string, Incoming>()
  #room: Room | undefined
  #keys: ExternalE2EEKeyProvider | undefined
  #raw = false

  get room(): Room {
    if (this.#room === undefined) throw new Error('join first')
    return this.#room
  }

  async join({ url, token, keys, peerConnections = 'auto' }: JoinSpec): Promise<void> {
    this.#keys = keys === null ? undefined : await this.#provider(keys)
    const room = new Room(this.#keys === undefined ? {} : { encryption: { keyProvider: this.#keys } })
    room.on(RoomEvent.EncryptionError, (error) => this.errors.push(error))
    this.#room = room
    await room.connect(url, token, { peerConnections })
  }

  async #provider({ kind, shared, ratchetWindow, set }: Keys): Promise<ExternalE2EEKeyProvider> {
    this.#raw = kind === 'raw'
    const provider = new ExternalE2EEKeyProvider({
      sharedKey: shared,
      keyDerivation: this.#raw ? 'HKDF' : 'PBKDF2',
      ratchetWindowSize: ratchetWindow,
    })
    for (const key of set) await this.#set(provider, key)
    return provider
  }

  async #set(provider: ExternalE2EEKeyProvider, { identity, keyIndex, key }: Key): Promise<void> {
    await provider.setKey(this.#raw ? Buffer.from(key, 'hex') : key, {
      participantIdentity: identity,
      keyIndex,
      updateCurrentKeyIndex: false,
    })
  }

  /** For receiving. {@link useKey} is for sending. */
  async setKey(key: Key): Promise<void> {
    await this.#set(this.#keys!, key)
  }

  /** Sends with the key of that index from now on. */
  useKey(keyIndex: number): void {
    this.#keys!.setKeyIndex(keyIndex)
  }

  async ratchetKey({ identity, keyIndex }: Omit<Key, 'key'>): Promise<void> {
    await this.#keys!.ratchetKey(identity, keyIndex)
  }

  async publish(track: string): Promise<{ usesE2ee: boolean }> {
    // The runs look at what arrives, not at how old frames make way for new ones.
    const local = await this.room.localParticipant.publishDataTrack({
      name: track,
      maxQueueBytes: 16 << 20,
      maxQueueAge: Infinity,
    })
    this.#outgoing.set(track, { local })
    return { usesE2ee: local.info.usesE2ee }
  }

  async unpublish(track: string): Promise<void> {
    await this.#out(track).local.unpublish()
  }

  async subscribe({ track, size, count }: Run): Promise<void> {
    const remote = await seen(this.room, track)
    const stream = remote.subscribe({
      maxBufferFrames: 65_536,
      maxBufferBytes: 64 << 20,
      maxBufferAge: Infinity,
    })
    const tally = new Tally(size, count)
    const waiting = new Set<() => void>()
    const reading = (async () => {
      for await (const frame of stream) {
        tally.take(frame.payload, frame.userTimestamp)
        for (const look of [...waiting]) look()
      }
    })()
    // The code that waits for frames is told.
    reading.catch(() => {})
    this.#incoming.set(track, { remote, stream, tally, reading, waiting })
  }

  async unsubscribe(track: string): Promise<void> {
    const { stream, reading } = this.#in(track)
    stream.close()
    await reading
  }

  async mark({ track, size, rate }: Run, mark: 'warm' | 'end'): Promise<void> {
    const out = this.#out(track)
    const stop = new AbortController()
    const frame =
      mark === 'warm'
        ? { payload: payloadOf(0, warmSize(size)), userTimestamp: WARM }
        : { payload: payloadOf(0, 1), userTimestamp: END }
    const done = (async () => {
      while (!stop.signal.aborted) {
        await out.local.push(frame)
        await out.local.flush()
        await delay(Math.max(20, 1000 / rate), undefined, { signal: stop.signal }).catch(() => {})
      }
    })()
    out.marking = { stop, done }
  }

  async unmark(track: string): Promise<void> {
    const { marking } = this.#out(track)
    marking?.stop.abort()
    await marking?.done
  }

  async warmed(track: string, count: number): Promise<void> {
    await this.#until(track, ({ warm }) => warm >= count)
  }

  async send(run: Run): Promise<{ refused: number }> {
    const { track, size } = run
    const { local } = this.#out(track)
    await paced(run, (number) =>
      local.tryPush({ payload: payloadOf(number, size), userTimestamp: timestampOf(number, size) }),
    )
    await local.flush()
    return { refused: local.stats().refused }
  }

  async arrived(track: string, count: number): Promise<void> {
    await this.#until(track, (tally) => tally.has(count))
  }

  async received(track: string): Promise<Received> {
    await this.#until(track, ({ complete, ended }) => complete || ended)
    const incoming = this.#in(track)
    while (!incoming.tally.complete) {
      const before = incoming.tally.frames
      await delay(GRACE)
      if (incoming.tally.frames === before) break
    }
    return incoming.tally.result()
  }

  async peek(track: string): Promise<Received> {
    return this.#in(track).tally.result()
  }

  /** Datagrams that the server had encrypted for this one and that did not come, so far. */
  get datagramsLost(): number {
    return this.room.stats().connection?.datagramsLost ?? 0
  }

  /** Our counters for a track that we publish or subscribe to. */
  account(track: string): Account {
    const out = this.#outgoing.get(track)?.local.stats()
    if (out !== undefined) {
      const closed = out.pushed === out.sent + sum(out.dropped) + out.queued
      return { closed, carried: out.sent, dropped: out.dropped }
    }
    const { remote, stream } = this.#in(track)
    const [frames, read] = [remote.stats(), stream.stats()]
    return {
      closed:
        frames.opened === frames.completed + sum(frames.dropped) + frames.open &&
        read.received === read.delivered + sum(read.dropped) + read.buffered,
      carried: frames.completed,
      dropped: { ...frames.dropped, ...read.dropped },
    }
  }

  async leave(): Promise<void> {
    for (const track of this.#outgoing.keys()) await this.unmark(track)
    this.#outgoing.clear()
    this.#incoming.clear()
    await this.#room?.disconnect()
    this.#room = undefined
    this.errors.length = 0
  }

  /** Waits for frames until it is so. */
  async #until(track: string, condition: (tally: Tally) => boolean): Promise<void> {
    const { tally, reading, waiting } = this.#in(track)
    const there = new Promise<void>((resolve) => {
      const look = (): void => {
        if (!condition(tally)) return
        waiting.delete(look)
        resolve()
      }
      waiting.add(look)
      look()
    })
    const ended = reading.then(() => {
      throw new Error(`the track ${track} ended`)
    })
    await Promise.race([there, ended])
  }

  #out(track: string): Outgoing {
    const out = this.#outgoing.get(track)
    if (out === undefined) throw new Error(`not published: ${track}`)
    return out
  }

  #in(track: string): Incoming {
    const incoming = this.#incoming.get(track)
    if (incoming === undefined) throw new Error(`not subscribed: ${track}`)
    return incoming
  }
}
