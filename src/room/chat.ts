/**
 * Chat messages. LiveKit has two forms of them: a text stream on the topic `lk.chat`, which agents and LiveKit's
 * components read, and a packet of its own, which `RoomEvent.ChatMessage` of the other SDKs comes from. A message is
 * sent in both forms, and the room tells of it once.
 */
import { createHash, randomUUID } from 'node:crypto'
import type { ChatMessage as ChatMessageMessage } from '@livekit/protocol'
import * as check from '../base/arguments'
import { loadProtocol } from '../base/lazy'
import { log } from '../base/logging'
import type { PacketSender } from '../data-packet/sender'
import type { FileSource } from '../data-stream/file-source'
import { checkSending, checkTextInfo } from '../data-stream/options'
import type { SendTextOptions } from '../data-stream/options'
import type { OutgoingStreams } from '../data-stream/outgoing'
import type { TextStreamReader } from '../data-stream/readers'

/** A chat message. livekit-client's has the same shape. */
export interface ChatMessage {
  /** The message's id. Edited versions have the same one. */
  readonly id: string
  /** When the message was sent, by the sender's clock: ms since 1970. */
  readonly timestamp: number
  readonly message: string
  /** When the message was last edited; `undefined` if it was not. */
  readonly editTimestamp?: number | undefined
  /** For a message that the local participant sends: the files that are sent with it. */
  readonly attachedFiles?: readonly FileSource[] | undefined
  /** For a received message: the ids of the byte streams on the topic `lk.chat` that belong to it. */
  readonly attachedStreamIds?: readonly string[] | undefined
  /** Whether an agent sent it in the name of the participant. */
  readonly generated?: boolean | undefined
}

/** Options of {@link LocalParticipant.sendChatMessage}. */
export type SendChatMessageOptions = Omit<
  SendTextOptions,
  'topic' | 'streamId' | 'replyToStreamId' | 'type' | 'version'
>

/** Options of {@link LocalParticipant.editChatMessage}. */
export type EditChatMessageOptions = Omit<SendChatMessageOptions, 'attachments'>

/** The topic of the text streams. */
export const CHAT_TOPIC = 'lk.chat'
/** Bytes of UTF-8 of a message. Longer ones are left out. */
export const MAX_CHAT_BYTES = 1_048_576
/** Messages of which one form has arrived, and the other is still expected; the oldest is forgotten first. */
export const MAX_HALF_ARRIVED = 4096

/** The forms of a message, and how each changes the count of {@link Chat}. */
const FORMS = { stream: 1, packet: -1 } as const

/** `stream` and `packet`: the forms of a message. */
type Form = keyof typeof FORMS

/** Sends and receives chat messages. */
export class Chat {
  readonly #sender: () => PacketSender
  readonly #streams: OutgoingStreams
  readonly #sent: (message: ChatMessage) => void
  readonly #received: (message: ChatMessage, senderIdentity: string) => void
  /** By sender, id and text: how many more streams than packets have arrived; never 0. */
  readonly #half = new Map<string, number>()

  constructor(
    sender: () => PacketSender,
    streams: OutgoingStreams,
    sent: (message: ChatMessage) => void,
    received: (message: ChatMessage, senderIdentity: string) => void,
  ) {
    this.#sender = sender
    this.#streams = streams
    this.#sent = sent
    this.#received = received
  }

  /** See {@link LocalParticipant.sendChatMessage}. */
  async send(text: string, given: SendChatMessageOptions = {}): Promise<ChatMessage> {
    checkText('text', text)
    const options = check.options('options', given)
    const id = randomUUID()
    const { timestamp } = await this.#streams.sendText(text, { ...options, topic: CHAT_TOPIC, streamId: id })
    const { attachments } = options
    const message = { id, timestamp, message: text, ...(attachments && { attachedFiles: attachments }) }
    // The packet is for older receivers. It cannot carry long texts, and those who read streams have the message.
    await this.#sendPacket(message, options).catch((error: unknown) => {
      log('debug', 'chat', `the packet of a chat message was not sent: ${String(error)}`)
    })
    this.#sent(message)
    return message
  }

  /** See {@link LocalParticipant.editChatMessage}. */
  async edit(
    editText: string,
    originalMessage: ChatMessage,
    given: EditChatMessageOptions = {},
  ): Promise<ChatMessage> {
    checkText('editText', editText)
    const { id, timestamp } = checkOriginal(originalMessage)
    const options = check.options('options', given)
    const stream = { ...options, topic: CHAT_TOPIC, streamId: id, type: 'update' } as const
    // The packet must not be sent if the stream's options are wrong.
    checkSending(stream)
    checkTextInfo(stream, undefined, false)
    const message = { ...originalMessage, id, timestamp, message: editText, editTimestamp: Date.now() }
    // Only the packet has both times, so it goes first. An unsendable packet is no reason not to send the stream.
    const packet = this.#sendPacket(message, options).catch((error: unknown) => {
      log('debug', 'chat', `the packet of an edited chat message was not sent: ${String(error)}`)
    })
    await this.#streams.sendText(editText, stream)
    await packet
    this.#sent(message)
    return message
  }

  /** A message came as a packet. */
  packet({ id, timestamp, editTimestamp, message, generated }: ChatMessageMessage, identity: string): void {
    this.#arrived('packet', identity, {
      id,
      timestamp: Number(timestamp),
      message,
      ...(editTimestamp !== undefined && { editTimestamp: Number(editTimestamp) }),
      ...(generated && { generated }),
    })
  }

  /** A message comes as a text stream. */
  async stream(reader: TextStreamReader, identity: string): Promise<void> {
    let message: string
    try {
      message = await reader.readAll({ maxLength: MAX_CHAT_BYTES })
    } catch (error) {
      log('debug', 'chat', `a chat message did not arrive: ${String(error)}`)
      return
    }
    const { id, timestamp, type, attachedStreamIds } = reader.info
    this.#arrived('stream', identity, {
      id,
      timestamp,
      message,
      ...(type === 'update' && { editTimestamp: timestamp }),
      ...(attachedStreamIds.length > 0 && { attachedStreamIds }),
    })
  }

  /** The connection has ended. */
  close(): void {
    this.#half.clear()
  }

  /**
   * Tells of a message, unless its other form came before. The same form again is a message of its own: a text that
   * returns to an earlier one. Two packets can arrive before the first stream is read.
   */
  #arrived(form: Form, identity: string, message: ChatMessage): void {
    const key = digestOf(identity, message.id, message.message)
    const before = this.#half.get(key) ?? 0
    const ahead = before + FORMS[form]
    this.#half.delete(key)
    if (ahead !== 0) this.#half.set(key, ahead)
    if (Math.abs(ahead) < Math.abs(before)) return
    const [oldest] = this.#half.keys()
    if (this.#half.size > MAX_HALF_ARRIVED && oldest !== undefined) this.#half.delete(oldest)
    this.#received(message, identity)
  }

  async #sendPacket(message: ChatMessage, options: EditChatMessageOptions): Promise<void> {
    const { ChatMessage } = loadProtocol()
    const { id, timestamp, message: text, editTimestamp } = message
    const value = new ChatMessage({
      id,
      timestamp: BigInt(timestamp),
      message: text,
      ...(editTimestamp !== undefined && { editTimestamp: BigInt(editTimestamp) }),
    })
    const { destinationIdentities, senderIdentity, signal } = options
    const to = { destinationIdentities, senderIdentity, signal }
    await this.#sender().sendReliable({ case: 'chatMessage', value }, to).acknowledged
  }
}

function digestOf(...texts: readonly string[]): string {
  const hash = createHash('sha256')
  for (const text of texts) hash.update(`${text.length} `).update(text)
  return hash.digest('base64')
}

function checkText(name: string, text: string): void {
  const bytes = Buffer.byteLength(check.string(name, text))
  if (bytes > MAX_CHAT_BYTES) throw check.outOfRange(`${name}.length`, `<= ${MAX_CHAT_BYTES} bytes`, bytes)
}

function checkOriginal(message: ChatMessage): { readonly id: string; readonly timestamp: number } {
  if (!check.isObject(message)) throw check.invalidType('originalMessage', 'a chat message', message)
  const { id, timestamp } = message
  if (check.string('originalMessage.id', id) === '')
    throw check.outOfRange('originalMessage.id.length', '>= 1', 0)
  const { MAX_SAFE_INTEGER } = Number
  return { id, timestamp: check.whole('originalMessage.timestamp', timestamp, MAX_SAFE_INTEGER) }
}
