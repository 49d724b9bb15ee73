/** Sends data streams: in one packet if all receivers support that, compressed if that helps, else chunk by chunk. */
import { randomUUID } from 'node:crypto'
import type { PacketSender, SendPacketOptions, SentPacket } from '../data-packet/sender'
import * as check from '../base/arguments'
import { ClientCapability } from '../signal/messages'
import { compressed, compressing, worthCompressing } from './compression'
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
  SendBytesOptions,
  SendFileOptions,
  Sending,
  SendTextOptions,
  StreamBytesOptions,
  StreamTextOptions,
} from './options'
import { OutgoingStream } from './outgoing-stream'
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
/** Content up to this many bytes is compressed before it is sent, because it may then fit into one packet. */
const WHOLE_BYTES = 256 * 1024
/** Bytes to pass to the compressor at once. */
const FEED_BYTES = 64 * 1024

export class OutgoingStreams {
  readonly #current: () => PacketSender
  readonly #recipients: ReadonlyMap<string, Recipient>

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
   * Sends a text in one packet. `undefined`: it does not fit, or a receiver does not support that; then nothing is
   * sent.
   */
  sendShortText(text: OutgoingText, options: SendPacketOptions): SentPacket | undefined {
    const { destinationIdentities = [] } = options
    const content = Buffer.from(text.text)
    if (content.length > CHUNK_SIZE || !this.#abilities(destinationIdentities).inline) return undefined
    const info: TextStreamInfo = {
      id: randomUUID(),
      topic: text.topic,
      mimeType: TEXT_MIME_TYPE,
      timestamp: Date.now(),
      size: content.length,
      attributes: text.attributes,
      encrypted: this.#sender.encrypts,
      attachedStreamIds: [],
      replyToStreamId: undefined,
      type: 'create',
      version: 0,
    }
    const header = headerOf({ kind: 'text', info }, { compressed: false, inlineContent: content })
    return headerFits(header, destinationIdentities) ? this.#sender.sendReliable(header, options) : undefined
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

  async #sendContent(stream: StreamDescription, content: Uint8Array, sending: Sending): Promise<void> {
    const { destinationIdentities, senderIdentity, signal, progress } = sending
    const { inline, deflate } = this.#abilities(destinationIdentities)
    if (content.length > WHOLE_BYTES && deflate && sending.compress) {
      await this.#sendPieces(stream, feed(content), sending)
      return
    }
    const smaller = deflate && sending.compress ? await compressed(content) : undefined
    const inlineContent = smaller ?? content
    const options = { compressed: smaller !== undefined }
    const attached = stream.kind === 'text' && stream.info.attachedStreamIds.length > 0
    if (inline && !attached && inlineContent.length <= CHUNK_SIZE) {
      const header = headerOf(stream, { ...options, inlineContent })
      if (headerFits(header, identitiesIn(sending))) {
        const way = { destinationIdentities, senderIdentity, signal }
        await this.#sender.sendReliable(header, way).acknowledged
        progress(1)
        return
      }
    }
    const chunks =
      stream.kind === 'text' && smaller === undefined
        ? textChunks(content, CHUNK_SIZE)
        : byteChunks(inlineContent, CHUNK_SIZE)
    await this.#sendChunks(stream, options.compressed, sending, async (outgoing) => {
      let sent = 0
      for (const chunk of chunks) {
        await outgoing.chunk(chunk)
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
      await this.#sendChunks(stream, compress, sending, async (outgoing) => {
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

  async #sendChunks(
    stream: StreamDescription,
    isCompressed: boolean,
    sending: Sending,
    send: (outgoing: OutgoingStream) => Promise<void>,
  ): Promise<void> {
    const outgoing = new OutgoingStream(this.#sender, stream.info.id, sending)
    try {
      await outgoing.begin(headerOf(stream, { compressed: isCompressed }))
      await send(outgoing)
      await outgoing.end()
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
