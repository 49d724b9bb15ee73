/**
 * `room.transcriptions()`: what participants say, as LiveKit Agents transcribes it: text streams on the topic
 * `lk.transcription`. `transcription-packets.ts` has the packets that agents send for older clients.
 */
import { Deferred, onAbort } from '../base/abort'
import * as check from '../base/arguments'
import { DataStreamError } from '../base/errors'
import { entryOf } from '../base/map-keys'
import { log } from '../base/logging'
import type { DataStreams } from '../data-stream/data-streams'
import type { TextStreamReader } from '../data-stream/readers'

/** A part of what a participant said, as known now. Later versions of it have the same `id`. */
export interface TranscribedSegment {
  /** The segment's id (`lk.segment_id`), or its stream's id. */
  readonly id: string
  /** The participant who spoke. The agent sends the text in that participant's name. */
  readonly participantIdentity: string
  /** All of the segment's text so far. */
  readonly text: string
  /** Whether the text will not change any more, according to the agent (`lk.transcription_final`). */
  readonly final: boolean
  /**
   * Whether the stream that this version came with has ended. An agent may send a segment as one stream that grows, or
   * each version as a stream of its own. Agents of LiveKit's Node.js SDK do not mark growing segments as final.
   */
  readonly ended: boolean
  /** The SID of the audio track (`lk.transcribed_track_id`), if the agent named it. */
  readonly trackSid: string | undefined
  /** When the stream of this version began, by the agent's clock: ms since 1970. */
  readonly timestamp: number
  /** All attributes of the stream. */
  readonly attributes: Readonly<Record<string, string>>
  /** Whether the stream is end-to-end encrypted. */
  readonly encrypted: boolean
}

/** Filters of {@link Room.transcriptions}. */
export interface TranscriptionsOptions {
  /** Only what this participant says. Default: all participants. */
  readonly identity?: string | undefined
  /** `true`: only final versions. Default: `false`, all versions. */
  readonly finalOnly?: boolean | undefined
  /** Ends the loop with the signal's `reason`. */
  readonly signal?: AbortSignal | undefined
}

/** The loop that {@link Room.transcriptions} returns. */
export type Transcriptions = AsyncIterableIterator<TranscribedSegment, undefined> & AsyncDisposable

/** The topic of the text streams. */
const TRANSCRIPTION_TOPIC = 'lk.transcription'
/** Bytes of UTF-8 of a segment. The rest of a longer one is left out. */
export const MAX_SEGMENT_BYTES = 1_048_576
/** Segments that wait for a loop. A newer version of a segment replaces the waiting one; the oldest is dropped first. */
export const MAX_WAITING_SEGMENTS = 1024
/** Bytes in memory of these segments. */
export const MAX_WAITING_SEGMENT_BYTES = 16_777_216
/** Bytes of a segment besides its texts, and of an attribute. */
const OVERHEAD = 512

type Result = IteratorResult<TranscribedSegment, undefined>

/** @internal The transcriptions of a room, in text streams. They live as long as the room. */
export class RoomTranscriptions {
  readonly #loops = new Set<SegmentLoop>()
  #warned = false

  constructor(streams: DataStreams) {
    streams.handleText(
      TRANSCRIPTION_TOPIC,
      (reader, { identity }) => this.#read(reader, identity),
      () => this.#loops.size > 0,
    )
  }

  /** See {@link Room.transcriptions}. */
  loop(given: TranscriptionsOptions = {}): Transcriptions {
    const { identity, finalOnly, signal } = check.options('options', given)
    if (identity !== undefined) check.string('options.identity', identity)
    const filter = { identity, finalOnly: check.boolean('options.finalOnly', finalOnly, false) }
    const loop = new SegmentLoop(filter, check.signal('options.signal', signal), (ended) => {
      this.#loops.delete(ended)
    })
    if (signal?.aborted !== true) this.#loops.add(loop)
    return loop
  }

  /** The room is disconnected. */
  end(): void {
    this.#warned = false
    for (const loop of [...this.#loops]) loop.end()
  }

  async #read(reader: TextStreamReader, identity: string): Promise<void> {
    try {
      const whole = reader.readAtOnce(MAX_SEGMENT_BYTES)
      if (whole !== undefined) {
        this.#tell(reader, identity, whole, true)
        return
      }
    } catch (error) {
      this.#failed(error)
      return
    }
    let text = ''
    let bytes = 0
    try {
      for await (const piece of reader) {
        bytes += Buffer.byteLength(piece)
        if (bytes > MAX_SEGMENT_BYTES) throw new DataStreamError('payloadTooLarge')
        text += piece
        if (this.#loops.size === 0) return
        this.#tell(reader, identity, text, false)
      }
    } catch (error) {
      this.#failed(error)
      this.#tell(reader, identity, text, true, false)
      return
    }
    this.#tell(reader, identity, text, true)
  }

  #tell(reader: TextStreamReader, identity: string, text: string, ended: boolean, complete = ended): void {
    const { id, timestamp, attributes, encrypted } = reader.info
    const segment: TranscribedSegment = {
      id: entryOf(attributes, transcriptionAttributes.segmentId) ?? id,
      participantIdentity: identity,
      text,
      final: complete && entryOf(attributes, transcriptionAttributes.final) === 'true',
      ended,
      trackSid: entryOf(attributes, transcriptionAttributes.trackSid),
      timestamp,
      attributes,
      encrypted,
    }
    for (const loop of [...this.#loops]) loop.add(segment)
  }

  #failed(error: unknown): void {
    const tooLong = error instanceof DataStreamError && error.reason === 'payloadTooLarge'
    const level = tooLong && !this.#warned ? 'warn' : 'debug'
    this.#warned ||= tooLong
    log(level, 'transcriptions', `a transcription broke off: ${String(error)}`)
  }
}

/** The names of the streams' attributes. */
const transcriptionAttributes = {
  segmentId: 'lk.segment_id',
  trackSid: 'lk.transcribed_track_id',
  final: 'lk.transcription_final',
} as const

interface Filter {
  readonly identity: string | undefined
  readonly finalOnly: boolean
}

/** One loop over a room's transcriptions. */
class SegmentLoop implements AsyncIterableIterator<TranscribedSegment, undefined> {
  readonly #filter: Filter
  readonly #stop: (loop: SegmentLoop) => void
  readonly #stopListening: () => void
  /** By participant and id, the one that waits the longest first. */
  readonly #waiting = new Map<string, TranscribedSegment>()
  readonly #waiters: Deferred<Result>[] = []
  #bytes = 0
  #behind = false
  #ended: 'no' | 'yes' | 'failed' = 'no'
  #error: unknown

  constructor(filter: Filter, signal: AbortSignal | undefined, stop: (loop: SegmentLoop) => void) {
    this.#filter = filter
    this.#stop = stop
    this.#stopListening = onAbort(signal, () => this.#finish('failed', signal?.reason))
    if (signal?.aborted === true) this.#finish('failed', signal.reason)
  }

  add(segment: TranscribedSegment): void {
    const { identity, finalOnly } = this.#filter
    if (this.#ended !== 'no' || (finalOnly && !segment.final)) return
    if (identity !== undefined && segment.participantIdentity !== identity) return
    const waiter = this.#waiters.shift()
    if (waiter !== undefined) {
      waiter.resolve({ value: segment, done: false })
      return
    }
    const key = `${segment.participantIdentity.length} ${segment.participantIdentity} ${segment.id}`
    const before = this.#waiting.get(key)
    this.#bytes += costOf(segment) - (before === undefined ? 0 : costOf(before))
    this.#waiting.set(key, segment)
    while (this.#waiting.size > MAX_WAITING_SEGMENTS || this.#bytes > MAX_WAITING_SEGMENT_BYTES) this.#drop()
  }

  /** The room was disconnected. What waits can still be read. */
  end(): void {
    this.#finish('yes', undefined)
  }

  next(): Promise<Result> {
    const value = this.#take()
    if (value !== undefined) return Promise.resolve({ value, done: false })
    const deferred = new Deferred<Result>()
    if (this.#ended === 'failed') deferred.reject(this.#error)
    else if (this.#ended === 'yes') deferred.resolve({ value: undefined, done: true })
    else this.#waiters.push(deferred)
    return deferred.promise
  }

  return(): Promise<Result> {
    this.#waiting.clear()
    this.#finish('yes', undefined)
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.return().then(() => undefined)
  }

  #take(): TranscribedSegment | undefined {
    for (const [key, segment] of this.#waiting) {
      this.#waiting.delete(key)
      this.#bytes -= costOf(segment)
      return segment
    }
    return undefined
  }

  #drop(): void {
    this.#take()
    if (this.#behind) return
    this.#behind = true
    log('warn', 'transcriptions', 'a loop over transcriptions is far behind: the oldest segments are dropped')
  }

  #finish(ended: 'yes' | 'failed', error: unknown): void {
    if (this.#ended !== 'no') return
    this.#ended = ended
    this.#error = error
    if (ended === 'failed') this.#waiting.clear()
    this.#stopListening()
    this.#stop(this)
    for (const waiter of this.#waiters.splice(0)) {
      if (ended === 'failed') waiter.reject(error)
      else waiter.resolve({ value: undefined, done: true })
    }
  }
}

function costOf({ id, participantIdentity, text, attributes }: TranscribedSegment): number {
  let units = id.length + participantIdentity.length + text.length
  let cost = OVERHEAD
  for (const name in attributes) {
    units += name.length + (attributes[name] ?? '').length
    cost += OVERHEAD
  }
  return cost + units * 2
}
