/** Sends data streams: in one packet if all receivers support that, compressed if that helps, else chunk by chunk. */
import { randomUUID } from 'node:crypto'
import type { PacketSender, SendPacketOptions, SentPacket } from '../data-packet/sender'
import { Deferred } from '../base/abort'
import * as check from '../base/arguments'
import { ClientCapability } from '../signal/messages'
import { compressed, compressedAtOnce, compressesAtOnce, compressing, worthCompressing } from './compression'
import { openFile } from './file-source'
import type { FileSource, OpenFile } from './file-source'
import { CHUNK_SIZE, headerFits, headerOf } from './header'
import type { StreamDescription } from './header'
import { TEXT_MIME_TYPE } from './info'
import type { ByteStreamInfo, TextStreamInfo } from './info'
import {
  checkBytesInfo,
  checkDestination,
  checkSending,
  checkTextInfo,
  checkTotalSize,
  identitiesIn,
} from './options'
import type {
  Destination,
  SendBytesOptions,
  SendFileOptions,
  Sending,
  SendTextOptions,
  StreamBytesOptions,
  StreamTextOptions,
} from './options'
import { OutgoingStream, settled } from './outgoing-stream'
import { byteChunks, textChunks } from './utf8'
import { ByteStreamWriter, TextStreamWriter } from './writers'

/** A receiver's abilities, as far as they matter here. */
export interface Recipient {
  readonly clientProtocol: number
  readonly capabilities: readonly number[]
}

/** An internal text, whose options need no check. */
export interface OutgoingText {
  readonly topic: string
  readonly attributes: Readonly<Record<string, string>>
  readonly text: string
}

/** The lowest `clientProtocol` that supports a stream in one packet. */
const SINGLE_PACKET_PROTOCOL = 2
/** Internal texts up to this many bytes are not compressed, because a packet of that size is as quick. */
const UNCOMPRESSED_BYTES = 4096
/** Content up to this many bytes is compressed before it is sent, because it may then fit into one packet. */
const WHOLE_BYTES = 256 * 1024
/** Bytes to pass to the compressor at once. */
const FEED_BYTES = 64 * 1024

/** An internal text that is being sent. A rejection of `sent` that no caller awaits is ignored. */
export type SentText = Pick<SentPacket, 'sent' | 'acknowledged'>

/** The bytes of a text, and what they were compressed to; `undefined` if that is not smaller. */
interface Encoded {
  readonly content: Uint8Array
  readonly smaller: Uint8Array | undefined
}

export class OutgoingStreams {
  readonly #current: () => PacketSender
  readonly #recipients: ReadonlyMap<string, Recipient>
  /** Internal texts that turned out not to fit a packet. They are sent next, by {@link sendLongText}. */
  readonly #encoded = new WeakMap<OutgoingText, Encoded>()

  /** `sender`: returns the sender of the current connection. `recipients`: the remote participants, by identity. */
  constructor(sender: () => PacketSender, recipients: ReadonlyMap<string, Recipient>) {
    this.#current = sender
    this.#recipients = recipients
  }

  get #sender(): PacketSender {
    return this.#current()
  }

  /** See {@link LocalParticipant.sendText}. */
  async sendText(text: string, given: SendTextOptions = {}): Promise<TextStreamInfo> {
    const content = Buffer.from(check.string('text', text))
    const options = check.options('options', given)
    const sending = checkSending(options)
    const info = checkTextInfo(options, content.length, this.#sender.encrypts)
    const { attachments = [] } = options
    if (!Array.isArray(attachments))
      throw check.invalidType('options.attachments', 'an array of files', attachments)
    sending.signal?.throwIfAborted()
    this.#sender.assertUsable()
    if (attachments.length === 0) {
      await this.#sendContent({ kind: 'text', info }, content, sending)
      return info
    }
    return await this.#sendAttached(info, content, sending, attachments as readonly FileSource[])
  }

  /**
   * Sends an internal text in one packet, compressed if that helps. `undefined`: it does not fit, its compression must
   * not block the event loop, or a receiver does not support that; then nothing is sent.
   */
  sendShortText(text: OutgoingText, options: SendPacketOptions): SentPacket | undefined {
    const { destinationIdentities = [] } = options
    const { inline, deflate } = this.#abilities(destinationIdentities)
    const most = deflate ? Infinity : CHUNK_SIZE
    if (!inline || text.text.length > most || !compressesAtOnce(text.text.length)) return undefined
    const content = Buffer.from(text.text)
    const compress = deflate && content.length > UNCOMPRESSED_BYTES
    if (compress && !compressesAtOnce(content.length)) return undefined
    const smaller = compress ? compressedAtOnce(content) : undefined
    const inlineContent = smaller ?? content
    if (inlineContent.length <= CHUNK_SIZE) {
      const info = this.#infoOf(text, content)
      const header = headerOf({ kind: 'text', info }, { compressed: smaller !== undefined, inlineContent })
      if (headerFits(header, destinationIdentities)) return this.#sender.sendReliable(header, options)
    }
    if (compress) this.#encoded.set(text, { content, smaller })
    return undefined
  }

  /**
   * @internal Sends an internal text of any size. As for a packet, `sent` resolves when the channel has accepted all of
   * it, and `acknowledged` when the server has.
   */
  sendLongText(text: OutgoingText, destination: Destination): SentText {
    const known = this.#encoded.get(text)
    const content = known?.content ?? Buffer.from(text.text)
    const info = this.#infoOf(text, content)
    const sent = new Deferred<void>()
    sent.promise.catch(() => undefined)
    const handedOver = (): void => sent.resolve()
    const sending = { ...destination, progress: () => undefined, compress: true, handedOver }
    const acknowledged = this.#sendContent({ kind: 'text', info }, content, sending, known)
    acknowledged.catch((error: unknown) => sent.reject(error))
    return { sent: sent.promise, acknowledged }
  }

  #infoOf({ topic, attributes }: OutgoingText, content: Uint8Array): TextStreamInfo {
    return {
      id: randomUUID(),
      topic,
      mimeType: TEXT_MIME_TYPE,
      timestamp: Date.now(),
      size: content.length,
      attributes,
      encrypted: this.#sender.encrypts,
      attachedStreamIds: [],
      replyToStreamId: undefined,
      type: 'create',
      version: 0,
    }
  }

  /** See {@link LocalParticipant.sendBytes}. */
  async sendBytes(bytes: Uint8Array, given: SendBytesOptions = {}): Promise<ByteStreamInfo> {
    const content = check.bytes('bytes', bytes)
    const options = check.options('options', given)
    const sending = checkSending(options)
    const info = checkBytesInfo(options, content.length, this.#sender.encrypts)
    sending.signal?.throwIfAborted()
    this.#sender.assertUsable()
    await this.#sendContent({ kind: 'bytes', info }, content, sending)
    return info
  }

  /** See {@link LocalParticipant.sendFile}. */
  async sendFile(source: FileSource, given: SendFileOptions = {}): Promise<ByteStreamInfo> {
    const options = check.options('options', given)
    const sending = checkSending(options)
    const described = checkBytesInfo(options, undefined, this.#sender.encrypts)
    sending.signal?.throwIfAborted()
    this.#sender.assertUsable()
    const file = await openFile('source', source)
    try {
      const info = { ...described, ...ownOf(file, options), size: file.size }
      return await this.#sendOpenFile(info, file, sending)
    } finally {
      await file.close()
    }
  }

  /** See {@link LocalParticipant.streamText}. */
  async streamText(given: StreamTextOptions = {}): Promise<TextStreamWriter> {
    const options = check.options('options', given)
    const destination = checkDestination(options)
    const info = checkTextInfo(options, checkTotalSize(options.totalSize), this.#sender.encrypts)
    const stream = new OutgoingStream(this.#sender, info.id, destination)
    await stream.begin(headerOf({ kind: 'text', info }, { compressed: false }))
    return new TextStreamWriter(info, stream, destination.signal)
  }

  /** See {@link LocalParticipant.streamBytes}. */
  async streamBytes(given: StreamBytesOptions = {}): Promise<ByteStreamWriter> {
    const options = check.options('options', given)
    const destination = checkDestination(options)
    const info = checkBytesInfo(options, checkTotalSize(options.totalSize), this.#sender.encrypts)
    const stream = new OutgoingStream(this.#sender, info.id, destination)
    await stream.begin(headerOf({ kind: 'bytes', info }, { compressed: false }))
    return new ByteStreamWriter(info, stream, destination.signal)
  }

  /** Sends a text and its attachments. Each has an equal share of the progress. */
  async #sendAttached(
    text: TextStreamInfo,
    content: Uint8Array,
    sending: Sending,
    attachments: readonly FileSource[],
  ): Promise<TextStreamInfo> {
    const files: OpenFile[] = []
    try {
      for (const [index, source] of attachments.entries()) {
        files.push(await openFile(`options.attachments[${index}]`, source))
      }
      const shares = new Array<number>(files.length + 1).fill(0)
      const part = (index: number): Sending => ({
        ...sending,
        progress: (share) => {
          shares[index] = share
          sending.progress(shares.reduce((sum, each) => sum + each, 0) / shares.length)
        },
      })
      const infos = files.map((file) => {
        const { topic, encrypted } = text
        return { ...checkBytesInfo({ topic }, file.size, encrypted), ...ownOf(file, {}) }
      })
      const info = { ...text, attachedStreamIds: infos.map(({ id }) => id) }
      await this.#sendContent({ kind: 'text', info }, content, part(0))
      const sent = files.map((file, index) =>
        this.#sendOpenFile(infos[index] as ByteStreamInfo, file, part(index + 1)),
      )
      // All sends must have finished with their files before the files are closed.
      const failed = (await Promise.allSettled(sent)).find(({ status }) => status === 'rejected')
      if (failed !== undefined) throw (failed as PromiseRejectedResult).reason
      return info
    } finally {
      await Promise.all(files.map((file) => file.close()))
    }
  }

  async #sendOpenFile(info: ByteStreamInfo, file: OpenFile, sending: Sending): Promise<ByteStreamInfo> {
    const stream = { kind: 'bytes', info } as const
    const pieces = file.pieces(sending.signal)
    if (file.size !== undefined && file.size > WHOLE_BYTES) {
      await this.#sendPieces(stream, pieces, sending)
      return info
    }
    const { beginning, ended } = await read(pieces, WHOLE_BYTES)
    if (!ended) {
      await this.#sendPieces(stream, followed(beginning, pieces), sending)
      return info
    }
    const known = { ...info, size: beginning.length }
    await this.#sendContent({ kind: 'bytes', info: known }, beginning, sending)
    return known
  }

  /** `known`: what the content was compressed to, if it was compressed before. */
  async #sendContent(
    stream: StreamDescription,
    content: Uint8Array,
    sending: Sending,
    known?: Encoded,
  ): Promise<void> {
    const { destinationIdentities, senderIdentity, signal, progress, handedOver } = sending
    const { inline, deflate } = this.#abilities(destinationIdentities)
    if (content.length > WHOLE_BYTES && deflate && sending.compress) {
      await this.#sendPieces(stream, feed(content), sending)
      return
    }
    const compress = deflate && sending.compress
    const smaller = compress ? (known ?? { smaller: await compressed(content) }).smaller : undefined
    const inlineContent = smaller ?? content
    const options = { compressed: smaller !== undefined }
    const attached = stream.kind === 'text' && stream.info.attachedStreamIds.length > 0
    if (inline && !attached && inlineContent.length <= CHUNK_SIZE) {
      const header = headerOf(stream, { ...options, inlineContent })
      if (headerFits(header, identitiesIn(sending))) {
        const awaited = handedOver === undefined
        const way = { destinationIdentities, senderIdentity, signal, awaited }
        await settled(this.#sender.sendReliable(header, way), handedOver)
        progress(1)
        return
      }
    }
    const chunks =
      stream.kind === 'text' && smaller === undefined
        ? textChunks(content, CHUNK_SIZE)
        : byteChunks(inlineContent, CHUNK_SIZE)
    await this.#sendChunks(stream, options.compressed, sending, true, async (outgoing) => {
      let sent = 0
      for (const chunk of chunks) {
        await outgoing.chunk(chunk, true)
        sent += chunk.length
        progress(sent / inlineContent.length)
      }
      if (sent === 0) progress(1)
    })
  }

  /** Sends pieces as they come, `size` bytes in all if that is known. */
  async #sendPieces(
    stream: StreamDescription,
    pieces: AsyncGenerator<Uint8Array, undefined>,
    sending: Sending,
  ): Promise<void> {
    const { size } = stream.info
    let sent = 0
    let first = (await pieces.next()).value
    const all = async function* (): AsyncGenerator<Uint8Array, undefined> {
      for (; first !== undefined; first = (await pieces.next()).value) {
        yield first
        sent += first.length
        if (size !== undefined) sending.progress(sent / size)
      }
      return undefined
    }
    const { deflate } = this.#abilities(sending.destinationIdentities)
    const compress = deflate && sending.compress && first !== undefined && (await worthCompressing(first))
    try {
      await this.#sendChunks(stream, compress, sending, false, async (outgoing) => {
        for await (const piece of compress ? compressing(all()) : all()) {
          const chunks =
            stream.kind === 'text' && !compress
              ? textChunks(piece, CHUNK_SIZE)
              : byteChunks(piece, CHUNK_SIZE)
          for (const chunk of chunks) await outgoing.chunk(chunk)
        }
      })
      if (size === undefined) sending.progress(1)
    } finally {
      await pieces.return(undefined)
    }
  }

  /** `whole`: the chunks are there already, and `send` waits for nothing else than the channel. */
  async #sendChunks(
    stream: StreamDescription,
    isCompressed: boolean,
    sending: Sending,
    whole: boolean,
    send: (outgoing: OutgoingStream) => Promise<void>,
  ): Promise<void> {
    const outgoing = new OutgoingStream(this.#sender, stream.info.id, sending)
    try {
      await outgoing.begin(headerOf(stream, { compressed: isCompressed }), whole)
      await send(outgoing)
      await outgoing.end({}, sending.handedOver)
    } catch (error) {
      outgoing.abort()
      throw error
    }
  }

  /** The abilities that all receivers share. A receiver that is not known counts as having none. */
  #abilities(destinationIdentities: readonly string[]): {
    readonly inline: boolean
    readonly deflate: boolean
  } {
    const identities = destinationIdentities.length > 0 ? destinationIdentities : [...this.#recipients.keys()]
    const recipients = identities.map((identity) => this.#recipients.get(identity))
    const inline = recipients.every((one) => (one?.clientProtocol ?? 0) >= SINGLE_PACKET_PROTOCOL)
    const deflate =
      inline && recipients.every((one) => one?.capabilities.includes(ClientCapability.DeflateRaw) === true)
    return { inline, deflate }
  }
}

/** The file's own name and MIME type, as defaults for the options. */
function ownOf(
  { name, mimeType }: OpenFile,
  options: Pick<SendFileOptions, 'name' | 'mimeType'>,
): { readonly name?: string; readonly mimeType?: string } {
  return {
    ...(options.name === undefined && name !== undefined && { name }),
    ...(options.mimeType === undefined && mimeType !== undefined && { mimeType }),
  }
}

/** The content piece by piece. A text is cut between characters. */
// eslint-disable-next-line @typescript-eslint/require-await -- as a file's pieces
async function* feed(content: Uint8Array): AsyncGenerator<Uint8Array, undefined> {
  yield* textChunks(content, FEED_BYTES)
  return undefined
}

/** Reads until there are more than `enough` bytes, or until the end. */
async function read(
  pieces: AsyncGenerator<Uint8Array, undefined>,
  enough: number,
): Promise<{ readonly beginning: Uint8Array; readonly ended: boolean }> {
  const read: Uint8Array[] = []
  let length = 0
  while (length <= enough) {
    const { value } = await pieces.next()
    if (value === undefined) return { beginning: Buffer.concat(read), ended: true }
    read.push(value)
    length += value.length
  }
  return { beginning: Buffer.concat(read), ended: false }
}

/** All pieces, of which the beginning was already read. */
async function* followed(
  beginning: Uint8Array,
  rest: AsyncGenerator<Uint8Array, undefined>,
): AsyncGenerator<Uint8Array, undefined> {
  try {
    yield beginning
    yield* rest
  } finally {
    await rest.return(undefined)
  }
  return undefined
}
