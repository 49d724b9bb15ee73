/** The messages that the local participant can send besides data packets, streams and calls. */
import type { ChatMessage, EditChatMessageOptions, SendChatMessageOptions } from './chat'
import type { PublishDtmfOptions } from './dtmf'
import type { PublishTranscriptionOptions, Transcription } from './transcription-packets'

/** See the top of this file. `RoomMessages` sends them. */
export interface OutgoingMessages {
  sendChatMessage(text: string, options?: SendChatMessageOptions): Promise<ChatMessage>
  editChatMessage(
    editText: string,
    originalMessage: ChatMessage,
    options?: EditChatMessageOptions,
  ): Promise<ChatMessage>
  publishDtmf(code: number, digit: string, options?: PublishDtmfOptions): Promise<void>
  publishTranscription(transcription: Transcription, options?: PublishTranscriptionOptions): Promise<void>
}
