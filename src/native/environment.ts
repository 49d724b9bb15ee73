/**
 * The one place that talks to the doorbell. There is one environment per copy of the package and JavaScript thread.
 *
 * Events are pumped after each control call and whenever the doorbell rings; frames are drained into slabs that are
 * allocated here. Streams are held weakly unless somebody waits for their frames, so that a forgotten stream can be
 * collected, and unsubscribes; sessions that have a connection are held until it is closed, as sockets are.
 */
import { guarded } from '../base/guard'
import { loadBinding } from './loader'
import { reportUncaught } from '../base/abort'
import { deliverLogs, followLogLevel } from '../base/logging'
import { LARGE_FRAME, News, Row, RowFlag, SLAB_SIZE } from './native'
import type { NativeBinding, NativeEvent } from './native'

/** Who gets the events of a session. */
export interface EventSink {
  handleEvent(event: NativeEvent): void
  /**
   * What `handleEvent` threw has been logged; what it was about ends. Absent: it calls listeners of the user's, and what they
   * throw is theirs.
   */
  readonly handleFault?: (() => void) | undefined
}

/** Who gets the frames of a stream. Called with nothing of the user's on the stack: it may not call back. */
export interface FrameSink {
  readonly stream: number
  /** Read a frame at a time: what `bufferSize` promises would be doubled by a batch in JavaScript's hands. */
  readonly exact: boolean
  accept(
    payload: Uint8Array,
    iv: Uint8Array | null,
    keyIndex: number,
    userTimestamp: bigint | undefined,
    number: number,
    timestamp: number,
    age: number,
  ): void
  handleSubscribed(): void
  handleEnded(reason: string | null): void
}

/** Rows of one drain, for all streams together. */
const DRAIN_ROWS = 256
/**
 * Frames of one stream that are taken at once. More would save little of the crossing, which is shared by 16 already,
 * and would take frames out of reach of the queue's policy, which lets 16 newer ones stand behind an old one.
 */
const READ_ROWS = 16
const IV_LENGTH = 12
/** What must be left of a slab for any frame to fit that is not `LARGE_FRAME`: its IV and the alignment count, too. */
const SLAB_RESERVE = LARGE_FRAME + IV_LENGTH + 8

/** A weak hold on an object that becomes a strong one while it has to live. */
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
  /** Whether somebody wants events to be handed out. */
  #asked = false
  #slab: Uint8Array = new Uint8Array(0)
  #offset = 0
  readonly #rows = new Uint32Array(DRAIN_ROWS * Row.Columns)
  // Views of the same memory: a whole batch, one row, and the rows as 64-bit numbers.
  readonly #batch = this.#rows.subarray(0, READ_ROWS * Row.Columns)
  readonly #single = this.#rows.subarray(0, Row.Columns)
  readonly #timestamps = new BigUint64Array(this.#rows.buffer)

  constructor(binding: NativeBinding) {
    this.binding = binding
    binding.setDoorbell((news) => this.#ring(news))
    followLogLevel((level) => binding.setLogLevel(level))
  }

  /** `weakly`: the session can be collected with those who use it, and its owner sees to its end. */
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

  /** While somebody waits for its frames a stream must not be collected. */
  holdStream(sink: FrameSink, hold: boolean): void {
    this.#streams.get(sink.stream)?.hold(hold ? sink : null)
  }

  /** The stream's sink, if it was not collected. */
  stream(id: number): FrameSink | undefined {
    return this.#streams.get(id)?.get()
  }

  /**
   * Hands out the events there are; for what comes after them, or was too much, the doorbell rings. Called from an event's
   * listener, it leaves the rest to the pump that is running.
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
          const sink = this.#sessions.get(event.session)?.get()
          if (sink !== undefined) hand(event, sink)
        }
      }
    } finally {
      this.#pumping = false
    }
  }

  /**
   * Takes what frames of the stream there are and hands them to it. When there is none, the doorbell will ring for
   * the next one.
   */
  read(sink: FrameSink): void {
    const slab = this.#freshSlab()
    const rows = sink.exact ? this.#single : this.#batch
    const count = this.binding.readStream(sink.stream, slab, this.#offset, rows)
    for (let row = 0; row < count; row++) this.#accept(row, sink)
  }

  /** Rust calls it, and can do nothing with an exception: one of the three must not cost the others. */
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
      // Where rows and a reserve of the slab are left, there was no more.
    } while (count === DRAIN_ROWS || this.#slab.length - this.#offset < SLAB_RESERVE)
  }

  /** Makes the payload of a row, which must happen for each row in turn, and hands it to its stream. */
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
    )
  }

  /** The slab, or a new one: when the rest is too short, or when a user transferred a payload, and so detached it. */
  #freshSlab(): Uint8Array {
    if (this.#slab.byteLength - this.#offset < SLAB_RESERVE) {
      this.#slab = allocate(SLAB_SIZE)
      this.#offset = 0
    }
    return this.#slab
  }
}

/** An exception of one event must not keep the others. */
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

/** The native side has ended what broke, and says so by an event. */
function nothingMore(): void {
  // The log has it.
}

/** Memory that is not zeroed first and is nobody else's: not from Node's pool. */
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
