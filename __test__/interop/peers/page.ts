/** What the browser's page runs: livekit-client as a peer. `chromium.ts` compiles and serves it, and calls `peer`. */
import { END, paced, payloadOf, Tally, timestampOf, WARM, warmSize } from './pattern'
import type { Received, Run } from './pattern'
import type { JoinSpec, Key, Keys } from './peer'

// Only what is used here: the program's types are Node's, not a browser's.

interface Frame {
  payload: Uint8Array
  userTimestamp?: bigint | undefined
}

interface LocalTrack {
  readonly info: { readonly usesE2ee: boolean }
  tryPush(frame: Frame): Promise<void>
  flush(): Promise<void>
  unpublish(): Promise<void>
}

interface RemoteTrack {
  readonly info: { readonly name: string }
  subscribe(options: { signal: AbortSignal; bufferSize: number }): ReadableStream<Frame>
}

interface KeyProvider {
  onSetEncryptionKey(material: unknown, identity?: string, keyIndex?: number): void
  setKey(key: string | ArrayBuffer): Promise<void>
  ratchetKey(identity: string | undefined, keyIndex: number): void
}

interface Sdk {
  readonly Room: new (options: object) => {
    readonly localParticipant: { publishDataTrack(options: { name: string }): Promise<LocalTrack> }
    on(event: 'dataTrackPublished', listener: (track: RemoteTrack) => void): void
    setE2EEEnabled(enabled: boolean): Promise<void>
    connect(url: string, token: string): Promise<void>
    disconnect(): Promise<void>
  }
  readonly ExternalE2EEKeyProvider: new () => KeyProvider
  readonly BaseKeyProvider: new (options: object) => KeyProvider
  createKeyMaterialFromString(passphrase: string): Promise<unknown>
  createKeyMaterialFromBuffer(raw: ArrayBuffer): Promise<unknown>
  setLogLevel(level: string): void
}

declare const Worker: new (url: string, options: { type: 'module' }) => { terminate(): void }

/** What `livekit-client.umd.js` defines. */
declare const LivekitClient: Sdk

// It would have a line for each frame that it cannot open.
LivekitClient.setLogLevel('silent')

/** Frames in the stream's buffer: the default of 16 is for those who want the newest. */
const BUFFER = 4096

class PagePeer {
  #room: InstanceType<Sdk['Room']> | undefined
  #worker: { terminate(): void } | undefined
  #provider: KeyProvider | undefined
  #keys: Keys | null = null
  readonly #remote = new Map<string, RemoteTrack>()
  readonly #local = new Map<string, LocalTrack>()
  readonly #marking = new Map<string, AbortController>()
  readonly #tallies = new Map<string, Tally>()
  readonly #streams = new Map<string, AbortController>()
  /** Called after each frame, and each new track. */
  readonly #waiting = new Set<() => void>()

  async join({ url, token, keys }: JoinSpec): Promise<void> {
    this.#keys = keys
    const worker =
      keys === null ? undefined : new Worker('/livekit-client.e2ee.worker.mjs', { type: 'module' })
    this.#worker = worker
    if (keys !== null) await this.#setKeys(keys)
    const encryption = worker === undefined ? {} : { encryption: { keyProvider: this.#provider, worker } }
    const room = new LivekitClient.Room(encryption)
    this.#room = room
    room.on('dataTrackPublished', (track) => {
      this.#remote.set(track.info.name, track)
      this.#changed()
    })
    if (worker !== undefined) await room.setE2EEEnabled(true)
    await room.connect(url, token)
  }

  async #setKeys({ shared, set }: Keys): Promise<void> {
    this.#provider = shared
      ? new LivekitClient.ExternalE2EEKeyProvider()
      : new LivekitClient.BaseKeyProvider({ sharedKey: false, failureTolerance: -1 })
    for (const key of set) {
      // The way that applications have for a shared key; it knows the index 0 only.
      if (shared && key.keyIndex === 0) {
        await this.#provider.setKey(this.#keys!.kind === 'raw' ? fromHex(key.key) : key.key)
      } else await this.setKey(key)
    }
  }

  async setKey({ identity, keyIndex, key }: Key): Promise<void> {
    const material =
      this.#keys!.kind === 'raw'
        ? await LivekitClient.createKeyMaterialFromBuffer(fromHex(key))
        : await LivekitClient.createKeyMaterialFromString(key)
    this.#provider!.onSetEncryptionKey(material, identity, keyIndex)
  }

  async ratchetKey({ identity, keyIndex }: Omit<Key, 'key'>): Promise<void> {
    this.#provider!.ratchetKey(identity, keyIndex)
  }

  async publish({ track }: { track: string }): Promise<{ usesE2ee: boolean }> {
    const local = await this.#room!.localParticipant.publishDataTrack({ name: track })
    this.#local.set(track, local)
    return { usesE2ee: local.info.usesE2ee }
  }

  async unpublish({ track }: { track: string }): Promise<void> {
    await this.#local.get(track)!.unpublish()
  }

  async subscribe({ track, size, count }: Run): Promise<void> {
    await this.#until(() => this.#remote.has(track))
    const stop = new AbortController()
    const tally = new Tally(size, count)
    this.#streams.set(track, stop)
    this.#tallies.set(track, tally)
    const reader = this.#remote.get(track)!.subscribe({ signal: stop.signal, bufferSize: BUFFER }).getReader()
    const read = async (): Promise<void> => {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return
        tally.take(value.payload, value.userTimestamp)
        this.#changed()
      }
    }
    // It ends with an error when the test unsubscribes.
    read().catch(() => {})
  }

  async unsubscribe({ track }: { track: string }): Promise<void> {
    this.#streams.get(track)!.abort()
  }

  async mark({ track, size, rate, mark }: Run & { mark: 'warm' | 'end' }): Promise<void> {
    const stop = new AbortController()
    this.#marking.set(track, stop)
    const local = this.#local.get(track)!
    const repeat = async (): Promise<void> => {
      while (!stop.signal.aborted) {
        const warm = mark === 'warm'
        // What the SDK refuses it says in `send`, too.
        await local
          .tryPush({ payload: payloadOf(0, warm ? warmSize(size) : 1), userTimestamp: warm ? WARM : END })
          .catch(() => {})
        await new Promise((resolve) => setTimeout(resolve, Math.max(20, 1000 / rate)))
      }
    }
    void repeat()
  }

  async unmark({ track }: { track: string }): Promise<void> {
    this.#marking.get(track)?.abort()
  }

  async warmed({ track, count }: { track: string; count: number }): Promise<void> {
    await this.#until(() => this.#tallies.get(track)!.warm >= count)
  }

  async send(run: Run): Promise<{ refused: number }> {
    const { track, size } = run
    const local = this.#local.get(track)!
    const pushes: Promise<void>[] = []
    await paced(run, (number) => {
      const frame = { payload: payloadOf(number, size), userTimestamp: timestampOf(number, size) }
      pushes.push(local.tryPush(frame))
    })
    const results = await Promise.allSettled(pushes)
    return { refused: results.filter(({ status }) => status === 'rejected').length }
  }

  async arrived({ track, count }: { track: string; count: number }): Promise<void> {
    await this.#until(() => this.#tallies.get(track)!.has(count))
  }

  async received({ track, grace }: { track: string; grace: number }): Promise<Received> {
    const tally = this.#tallies.get(track)!
    await this.#until(() => tally.complete || tally.ended)
    while (!tally.complete) {
      const before = tally.frames
      await new Promise((resolve) => setTimeout(resolve, grace))
      if (tally.frames === before) break
    }
    return tally.result()
  }

  async peek({ track }: { track: string }): Promise<Received> {
    return this.#tallies.get(track)!.result()
  }

  async leave(): Promise<void> {
    for (const stop of [...this.#marking.values(), ...this.#streams.values()]) stop.abort()
    for (const map of [this.#marking, this.#streams, this.#tallies, this.#local, this.#remote]) map.clear()
    await this.#room?.disconnect()
    this.#worker?.terminate()
  }

  #changed(): void {
    for (const look of [...this.#waiting]) look()
  }

  #until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!condition()) return
        this.#waiting.delete(look)
        resolve()
      }
      this.#waiting.add(look)
      look()
    })
  }
}

function fromHex(text: string): ArrayBuffer {
  return Uint8Array.from(text.match(/../g) ?? [], (byte) => parseInt(byte, 16)).buffer
}

Object.assign(globalThis, { peer: new PagePeer() })
