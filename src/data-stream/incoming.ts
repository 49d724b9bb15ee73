/** The data streams that remote participants send: the open ones, their readers, and their limits. */
import type { DataStream_Chunk, DataStream_Header, DataStream_Trailer } from '@livekit/protocol'
import { DEPARTURE_GRACE } from '../data-packet/departure'
import type { Departed } from '../data-packet/departure'
import type { ReceivedPacket } from '../data-packet/receiver'
import { reportUncaught } from '../base/abort'
import { DataStreamError } from '../base/errors'
import { log } from '../base/logging'
import { HandlerTable } from './handlers'
import type { ByteStreamHandler, TextStreamHandler } from './handlers'
import { IncomingStream } from './incoming-stream'
import { costOfHeader, infoOf } from './info'
import { KeptStreams } from './kept-streams'
import type { CheckedLimits } from './limits'
import { PiecePool } from './piece-pool'
import type { PieceQueue } from './piece-queue'
import { ByteStreamReader, TextStreamReader } from './readers'
import type { Content } from './readers'

/** Why a stream was dropped before a handler got it. */
export type DataStreamDropReason = 'noHandler' | 'alreadyOpened' | 'tooManyStreams' | 'unsupported'

/**
 * Counters of the data streams from remote participants. `received` = completed + failed + cancelled + open + all in
 * `dropped`.
 */
export interface DataStreamStats {
  /** Streams that began. */
  readonly received: number
  /** Streams that arrived completely, whether or not they were read. */
  readonly completed: number
  /** Streams that ended early because of the sender or the connection. */
  readonly failed: number
  /** Streams that all their readers cancelled, or that exceeded a limit of this room, before their end. */
  readonly cancelled: number
  readonly dropped: Readonly<Partial<Record<DataStreamDropReason, number>>>
  /** Streams that are still arriving. */
  readonly open: number
  /** Bytes that wait to be read, and the overhead of keeping them. */
  readonly bufferedBytes: number
}

/** Overhead of a stream besides its pieces and texts, in bytes. */
const STREAM_OVERHEAD = 1024

type Sender = Pick<ReceivedPacket<unknown>, 'senderSid' | 'senderIdentity'>

export class IncomingStreams {
  readonly text = new HandlerTable<TextStreamHandler>()
  readonly bytes = new HandlerTable<ByteStreamHandler>()
  readonly #pool: PiecePool
  readonly #kept: KeptStreams
  /** By {@link senderOf} and the stream's id. */
  readonly #streams = new Map<string, Map<string, IncomingStream>>()
  readonly #dropped: Partial<Record<DataStreamDropReason, number>> = {}
  #received = 0
  #completed = 0
  #failed = 0
  #cancelled = 0

  constructor(limits: CheckedLimits) {
    this.#pool = new PiecePool(limits)
    this.#kept = new KeptStreams(limits.maxStreamsPerSender)
  }

  stats(): DataStreamStats {
    let open = 0
    for (const streams of this.#streams.values()) open += streams.size
    return {
      received: this.#received,
      completed: this.#completed,
      failed: this.#failed,
      cancelled: this.#cancelled,
      dropped: { ...this.#dropped },
      open,
      bufferedBytes: this.#pool.bytes,
    }
  }

  header(packet: ReceivedPacket<DataStream_Header>): void {
    const { value: header, senderIdentity, encrypted } = packet
    const sender = senderOf(packet)
    this.#received++
    const content = contentOf(header)
    const described = infoOf(header, encrypted, header.attributes)
    if (content === undefined || described === undefined || header.streamId === '') {
      this.#drop('unsupported')
      return
    }
    const existing = this.#streams.get(sender)
    const same = existing?.get(header.streamId)
    if (same !== undefined) {
      // Chunks of the two streams could not be told apart.
      same.fail(new DataStreamError('alreadyOpened'))
      this.#drop('alreadyOpened')
      return
    }
    const handlers = described.kind === 'text' ? this.text.of(header.topic) : this.bytes.of(header.topic)
    if (handlers.length === 0) {
      this.#drop('noHandler')
      return
    }
    if (!this.#kept.makeRoom(sender)) {
      this.#drop('tooManyStreams')
      return
    }
    const queues = this.#open(packet, handlers.length)
    const participant = () => ({ identity: senderIdentity })
    // Each handler gets its own info object, because it may change it.
    const infos = queues.map((_queue, index) =>
      index === 0 ? described : infoOf(header, encrypted, { ...header.attributes }),
    )
    queues.forEach((queue, index) => {
      const own = infos[index]
      if (own?.kind === 'text') {
        const reader = new TextStreamReader(own.info, queue, content)
        call(() => (handlers[index] as TextStreamHandler)(reader, participant()))
      } else if (own?.kind === 'bytes') {
        const reader = new ByteStreamReader(own.info, queue, content)
        call(() => (handlers[index] as ByteStreamHandler)(reader, participant()))
      }
    })
  }

  chunk(packet: ReceivedPacket<DataStream_Chunk>): void {
    this.#streams.get(senderOf(packet))?.get(packet.value.streamId)?.chunk(packet)
  }

  trailer(packet: ReceivedPacket<DataStream_Trailer>): void {
    this.#streams.get(senderOf(packet))?.get(packet.value.streamId)?.trailer(packet)
  }

  /**
   * A participant has left or has a new session. Packets that it sent before may still arrive for a moment. Streams
   * that do not end by themselves then fail with `reason`.
   */
  senderGone({ identity, sid }: Departed, reason: 'abnormalEnd' | 'connectionLost'): void {
    const unnamed = this.#of({ senderSid: '', senderIdentity: identity })
    const left = performance.now()
    const look = (streams: readonly IncomingStream[]): void => {
      const limit = performance.now() - DEPARTURE_GRACE
      for (const stream of streams) {
        if (Math.max(stream.lastPacket, left) > limit || !stream.open) continue
        const detail = reason === 'abnormalEnd' ? 'the sender left' : 'the sender has a new connection'
        stream.fail(new DataStreamError(reason, { detail }))
      }
      const open = streams.filter((stream) => stream.open)
      if (open.length > 0) setTimeout(look, DEPARTURE_GRACE / 4, open).unref()
    }
    // Looks at the streams that are open by then, because a stream's first packet may arrive after this call, too.
    const first = (): void => look([...unnamed, ...this.#of({ senderSid: sid, senderIdentity: identity })])
    setTimeout(first, DEPARTURE_GRACE).unref()
  }

  #of(sender: Sender): IncomingStream[] {
    return [...(this.#streams.get(senderOf(sender))?.values() ?? [])]
  }

  /** The local connection was lost, with all packets in flight. */
  failAll(reason: 'connectionLost' | 'disconnected'): void {
    for (const streams of [...this.#streams.values()]) {
      for (const stream of [...streams.values()]) stream.fail(new DataStreamError(reason))
    }
  }

  /** Creates the queues for the readers of a stream, and puts the header's content into them. */
  #open({ value: header, ...packet }: ReceivedPacket<DataStream_Header>, readers: number): PieceQueue[] {
    const { inlineContent } = header
    const queues: PieceQueue[] = []
    const sender = senderOf(packet)
    const stream = new IncomingStream(header.streamId, sender, packet.encrypted, queues, (failure) => {
      this.#forget(stream)
      if (failure !== undefined) this.#failed++
      else if (complete(queues)) this.#completed++
      else this.#cancelled++
    })
    const overhead = STREAM_OVERHEAD + costOfHeader(header)
    for (let reader = 0; reader < readers; reader++) {
      const queue = this.#pool.queue(sender, () => stream.readerFinished())
      queue.begun = () => stream.readerBegan()
      queues.push(queue)
    }
    this.#kept.add(sender, stream)
    const streams = this.#streams.get(sender) ?? new Map<string, IncomingStream>()
    this.#streams.set(sender, streams)
    streams.set(stream.id, stream)
    for (const queue of queues) queue.hold(overhead)
    if (inlineContent !== undefined) {
      stream.chunk({ ...packet, value: { chunkIndex: 0n, content: inlineContent } })
      stream.trailer({ ...packet, value: { reason: '', attributes: {} } })
    }
    return queues
  }

  #forget(stream: IncomingStream): void {
    const streams = this.#streams.get(stream.sender)
    if (streams?.get(stream.id) !== stream) return
    streams.delete(stream.id)
    if (streams.size === 0) this.#streams.delete(stream.sender)
  }

  #drop(reason: DataStreamDropReason): void {
    this.#dropped[reason] = (this.#dropped[reason] ?? 0) + 1
  }
}

/**
 * The key of a stream's sender: its session. An agent may send a text on behalf of another participant. Then the header
 * has that participant's identity, while chunks and trailer have the agent's. Older servers may give no session.
 */
function senderOf({ senderSid, senderIdentity }: Sender): string {
  return senderSid === '' ? `identity ${senderIdentity}` : senderSid
}

function complete(queues: readonly PieceQueue[]): boolean {
  return queues.some(({ complete: all }) => all)
}

/** `livekit.DataStream.CompressionType`. */
const NONE = 0
const DEFLATE_RAW = 1

/** How the content is encoded; `undefined` if this version does not support it. */
function contentOf({ compression, inlineContent }: DataStream_Header): Content | undefined {
  if ((compression as number) === NONE) return 'plain'
  if ((compression as number) !== DEFLATE_RAW) return undefined
  return inlineContent === undefined ? 'compressed' : 'compressedInline'
}

/** Calls a handler. Its error stays uncaught, unless it is that of a failed stream: that one is only logged. */
function call(handler: () => unknown): void {
  const failed = (error: unknown): void => {
    if (error instanceof DataStreamError) {
      log('warn', 'data-stream', `a handler did not expect that a stream fails: ${error.reason}`)
    } else {
      reportUncaught(error)
    }
  }
  try {
    const result = handler()
    if (result instanceof Promise) result.catch(failed)
  } catch (error) {
    failed(error)
  }
}
