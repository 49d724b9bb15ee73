/** What participants send each other besides data packets, streams and calls: chat messages, DTMF, transcriptions. */
import type { PacketHandlers } from '../data-packet/receiver'
import type { PacketSender } from '../data-packet/sender'
import type { DataStreams } from '../data-stream/data-streams'
import { Chat, CHAT_TOPIC } from './chat'
import type { ChatMessage, EditChatMessageOptions, SendChatMessageOptions } from './chat'
import { dtmfOf, publishDtmf } from './dtmf'
import type { PublishDtmfOptions } from './dtmf'
import { RoomEvent } from './events'
import type { RoomEvents, TellRoomEvent } from './events'
import type { LocalParticipant } from './local-participant'
import type { RemoteParticipant } from './remote-participant'
import type { OutgoingMessages } from './outgoing-messages'
import { publishTranscription, TranscriptionPackets } from './transcription-packets'
import type { PublishTranscriptionOptions, Transcription } from './transcription-packets'

/** What the messages need of their room. */
export interface MessagesOwner {
  readonly tell: TellRoomEvent
  /** Whether the event has listeners. */
  readonly listens: (event: keyof RoomEvents) => boolean
  readonly participant: (identity: string) => LocalParticipant | RemoteParticipant | undefined
  readonly remote: (identity: string) => RemoteParticipant | undefined
  readonly local: () => LocalParticipant
}

/** The messages of a room. They live as long as the room, across connections. */
export class RoomMessages implements OutgoingMessages {
  readonly #sender: () => PacketSender
  readonly #owner: MessagesOwner
  readonly #chat: Chat
  readonly #transcriptions = new TranscriptionPackets()

  constructor(sender: () => PacketSender, streams: DataStreams, owner: MessagesOwner) {
    const { tell } = owner
    this.#sender = sender
    this.#owner = owner
    this.#chat = new Chat(
      sender,
      streams.outgoing,
      (message) => tell(RoomEvent.ChatMessage, message, owner.local()),
      (message, identity) => tell(RoomEvent.ChatMessage, message, owner.participant(identity)),
    )
    streams.handleText(
      CHAT_TOPIC,
      (reader, { identity }) => this.#chat.stream(reader, identity),
      () => owner.listens(RoomEvent.ChatMessage),
    )
  }

  /** The handlers of the packets. */
  packetHandlers(): Pick<PacketHandlers, 'chatMessage' | 'sipDtmf' | 'transcription'> {
    const { tell, participant, remote } = this.#owner
    return {
      chatMessage: ({ value, senderIdentity }) => this.#chat.packet(value, senderIdentity),
      sipDtmf: ({ value, senderIdentity }) => {
        tell(RoomEvent.SipDTMFReceived, dtmfOf(value), remote(senderIdentity))
      },
      transcription: ({ value }) => {
        const segments = this.#transcriptions.segmentsOf(value)
        const speaker = participant(value.transcribedParticipantIdentity)
        tell(RoomEvent.TranscriptionReceived, segments, speaker, value.trackId)
      },
    }
  }

  publishDtmf(code: number, digit: string, options?: PublishDtmfOptions): Promise<void> {
    return publishDtmf(this.#sender(), code, digit, options)
  }

  publishTranscription(transcription: Transcription, options?: PublishTranscriptionOptions): Promise<void> {
    return publishTranscription(this.#sender(), transcription, options)
  }

  sendChatMessage(text: string, options?: SendChatMessageOptions): Promise<ChatMessage> {
    return this.#chat.send(text, options)
  }

  editChatMessage(
    editText: string,
    originalMessage: ChatMessage,
    options?: EditChatMessageOptions,
  ): Promise<ChatMessage> {
    return this.#chat.edit(editText, originalMessage, options)
  }

  /** The connection has ended. */
  close(): void {
    this.#chat.close()
  }
}
