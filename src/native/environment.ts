/**
 * The only place that talks to the doorbell. There is one environment per copy of the package and JavaScript thread.
 *
 * Events are handed out after each control call and whenever the doorbell rings. Frames are drained into slabs
 * allocated here.
 *
 * A stream is held weakly unless a reader waits for its frames. So a stream that the application dropped can be
 * collected, and then unsubscribes. A session with a connection is held until it is closed, as sockets are.
 */
import { guarded } from '../base/guard'
import { loadBinding } from './loader'
import { reportUncaught } from '../base/abort'
import { deliverLogs, followLogLevel } from '../base/logging'
import { IV_LENGTH, LARGE_FRAME, News, Row, RowFlag, SLAB_SIZE } from './native'
import type { NativeBinding, NativeEvent } from './native'

/** Receives the events of a session. */
export interface EventSink {
  handleEvent(event: NativeEvent): void
  /**
   * Called after `handleEvent` threw and the error was logged; ends what the event was about. Absent if `handleEvent`
   * calls the application's listeners, because their errors are the application's.
   */
  readonly handleFault?: (() => void) | undefined
}

/** Receives the frames of a stream. No application code is on the stack during a call, and a call must not run any. */
export interface FrameSink {
  readonly stream: number
  /**
   * Read one frame at a time. A batch held in JavaScript would come on top of the `bufferSize` frames that wait in
   * Rust.
   */
  readonly exact: boolean
  /** Its session's `readStream`. */
  read(slab: Uint8Array, offset: number, rows: Uint32Array): number
  accept(
    payload: Uint8Array,
    iv: Uint8Array | null,
    keyIndex: number,
    userTimestamp: bigint | undefined,
    number: number,
    timestamp: number,
    age: number,
    latched: boolean,
  ): void
  handleSubscribed(): void
  /** The last frame of a latched track is to be fetched. */
  handleLatestWanted(): void
  handleEnded(reason: string | null): void
}

/** Rows of one drain, for all streams together. */
const DRAIN_ROWS = 256
/**
 * Frames taken from one stream at once. Already 16 frames share the cost of one native call, so more would save little.
 * More would also take frames away from the queue's policy, which drops an old frame only if more than 16 newer ones
 * are behind it.
 */
const READ_ROWS = 16
/** Free bytes of a slab in which every frame up to `LARGE_FRAME` fits, with its IV and alignment. */
const SLAB_RESERVE = LARGE_FRAME + IV_LENGTH + 8

/** A weak reference to an object, which can become a strong one while the object has to live. */
class Slot<T extends object> {
  readonly #weak: WeakRef<T>
  #strong: T | null = null

  constructor(value: T) {
    this.#weak = new WeakRef(value)
  }

  get(): T | undefined {
    return this.#strong ?? this.#weak.deref()
  }

  hold(value: T | null): void {
    this.#strong = value
  }
}

export class Environment {
  readonly binding: NativeBinding
  readonly #sessions = new Map<number, Slot<EventSink>>()
  readonly #streams = new Map<number, Slot<FrameSink>>()
  #pumping = false
  /** Whether events have to be handed out. */
  #asked = false
  #slab: Uint8Array = new Uint8Array(0)
  #offset = 0
  readonly #rows = new Uint32Array(DRAIN_ROWS * Row.Columns)
  // Views of the same memory: one batch, one row, and all rows as 64-bit numbers.
  readonly #batch = this.#rows.subarray(0, READ_ROWS * Row.Columns)
  readonly #single = this.#rows.subarray(0, Row.Columns)
  readonly #timestamps = new BigUint64Array(this.#rows.buffer)

  constructor(binding: NativeBinding) {
    this.binding = binding
    binding.setDoorbell((news) => this.#ring(news))
    followLogLevel((level) => binding.setLogLevel(level))
  }

  /** `weakly`: the session can be collected together with its users; its owner then closes it. */
  addSession(id: number, session: EventSink, weakly: boolean): void {
    const slot = new Slot(session)
    if (!weakly) slot.hold(session)
    this.#sessions.set(id, slot)
  }

  removeSession(id: number): void {
    this.#sessions.delete(id)
  }

  addStream(sink: FrameSink): void {
    this.#streams.set(sink.stream, new Slot(sink))
  }

  removeStream(stream: number): void {
    this.#streams.delete(stream)
  }

  /** A stream must not be collected while a reader waits for its frames. */
  holdStream(sink: FrameSink, hold: boolean): void {
    this.#streams.get(sink.stream)?.hold(hold ? sink : null)
  }

  /** The stream's sink, unless it was collected. */
  stream(id: number): FrameSink | undefined {
    return this.#streams.get(id)?.get()
  }

  /**
   * Hands out the available events. The doorbell rings for later ones, and for those that were too many at once. If an
   * event's listener calls it, it leaves the events to the call that is already running.
   */
  pump(): void {
    this.#asked = true
    if (this.#pumping) return
    this.#pumping = true
    try {
      while (this.#asked) {
        this.#asked = false
        const events = this.binding.pollEvents()
        for (const event of events) {
          const sink = this.#sessions.get(event.source)?.get()
          if (sink !== undefined) hand(event, sink)
        }
      }
    } finally {
      this.#pumping = false
    }
  }

  /**
   * Takes the available frames of a stream and hands them to the sink. If there are none, the doorbell will ring for
   * the next one.
   */
  read(sink: FrameSink): void {
    const slab = this.#freshSlab()
    const rows = sink.exact ? this.#single : this.#batch
    const count = sink.read(slab, this.#offset, rows)
    for (let row = 0; row < count; row++) this.#accept(row, sink)
  }

  /** Called by Rust, which cannot handle an exception. A failure of one of the three must not stop the others. */
  #ring(news: number): void {
    if ((news & News.Events) !== 0) guarded('native', 'events', () => this.pump(), nothingMore)
    if ((news & News.Frames) !== 0) guarded('native', 'frames', () => this.#drain(), nothingMore)
    if ((news & News.Logs) !== 0) guarded('native', 'log records', () => this.#logs(), nothingMore)
  }

  #logs(): void {
    const { records, lost } = this.binding.pollLogs()
    if (records.length > 0 || lost > 0) deliverLogs(records, lost)
  }

  #drain(): void {
    let count: number
    do {
      const slab = this.#freshSlab()
      count = this.binding.drain(slab, this.#offset, this.#rows)
      for (let row = 0; row < count; row++) {
        this.#accept(row, this.#streams.get(this.#rows[row * Row.Columns] as number)?.get())
      }
      // If rows and the reserve of the slab are left over, there were no more frames.
    } while (count === DRAIN_ROWS || this.#slab.length - this.#offset < SLAB_RESERVE)
  }

  /** Reads the payload of a row and hands it to its stream. Rows must be read in order. */
  #accept(row: number, sink: FrameSink | undefined): void {
    const rows = this.#rows
    const base = row * Row.Columns
    const flags = rows[base + Row.Flags] as number
    const length = rows[base + Row.Length] as number
    const sealed = (flags & RowFlag.Sealed) !== 0
    const bytes = sealed ? length + IV_LENGTH : length
    let memory: ArrayBufferLike
    let offset = 0
    if ((flags & RowFlag.Large) !== 0) {
      const own = allocate(bytes)
      this.binding.fillLarge(own)
      memory = own.buffer
    } else {
      memory = this.#slab.buffer
      offset = rows[base + Row.Offset] as number
      this.#offset = (offset + bytes + 7) & ~7
    }
    if (sink === undefined) return
    sink.accept(
      new Uint8Array(memory, offset, length),
      sealed ? new Uint8Array(memory, offset + length, IV_LENGTH) : null,
      (flags >>> 8) & 0xff,
      (flags & RowFlag.HasUserTimestamp) === 0
        ? undefined
        : this.#timestamps[row * (Row.Columns / 2) + Row.UserTimestamp / 2],
      flags >>> 16,
      rows[base + Row.Timestamp] as number,
      (rows[base + Row.Age] as number) / 1000,
      (flags & RowFlag.Latched) !== 0,
    )
  }

  /**
   * The slab, or a new one if too little is left, or if the application transferred a payload and so detached the slab.
   */
  #freshSlab(): Uint8Array {
    if (this.#slab.byteLength - this.#offset < SLAB_RESERVE) {
      this.#slab = allocate(SLAB_SIZE)
      this.#offset = 0
    }
    return this.#slab
  }
}

/** Hands an event to its sink. An exception must not stop the events after it. */
function hand(event: NativeEvent, sink: EventSink): void {
  const { handleFault } = sink
  if (handleFault === undefined) {
    try {
      sink.handleEvent(event)
    } catch (error) {
      reportUncaught(error)
    }
    return
  }
  guarded(
    'native',
    `the event ${event.type}`,
    () => sink.handleEvent(event),
    () => handleFault(),
  )
}

/** Does nothing: the native side has already ended what failed, and reports that by an event. */
function nothingMore(): void {
  // The error was logged.
}

/** Memory that is not zeroed and not part of Node's buffer pool. */
function allocate(bytes: number): Uint8Array<ArrayBuffer> {
  const buffer = Buffer.allocUnsafeSlow(bytes)
  return new Uint8Array(buffer.buffer, 0, bytes)
}

let current: Environment | undefined

/** The environment; the first call loads the native addon. */
export function environment(): Environment {
  current ??= new Environment(loadBinding())
  return current
}

/** The environment if the addon was loaded already. */
export function loadedEnvironment(): Environment | undefined {
  return current
}
