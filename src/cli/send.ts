/** `datatrack send`: sends a text or a file to the participants of a room, as a data stream. */
import type { ConnectOptions } from '../connection/connect-options'
import type { EncryptionOptions } from '../e2ee/session-encryption'
import { joinRoom } from '../check/rooms'
import { note, say } from './output'
import { participantIn, untilDisconnected } from './room-notes'
import { tokenFor } from './server'
import type { ServerSettings } from './settings'

/** Options of {@link send}. */
export interface SendOptions {
  readonly server: ServerSettings
  readonly connect: ConnectOptions
  readonly encryption: EncryptionOptions | undefined
  readonly content: { readonly text: string } | { readonly file: string }
  readonly topic: string
  /** Identities of the receivers. Empty: all participants. */
  readonly to: readonly string[]
  /** Whether to wait until the receivers are in the room. */
  readonly wait: boolean
  readonly json: boolean
  readonly quiet: boolean
}

/** Sends the text or the file, and resolves when all of it has left. */
export async function send(options: SendOptions, signal: AbortSignal): Promise<void> {
  const { server, content, topic, to, json, quiet } = options
  const token = tokenFor(server, 'send', { canPublishData: true })
  const room = await joinRoom(server.url, token, { ...options.connect, encryption: options.encryption })
  try {
    const ended = untilDisconnected(room, signal)
    if (options.wait) for (const identity of to) await participantIn(room, identity, ended)
    const how = { topic, destinationIdentities: to, signal: ended }
    const participant = room.localParticipant
    const { id, size } =
      'text' in content
        ? await participant.sendText(content.text, how)
        : await participant.sendFile(content.file, how)
    if (json) say(JSON.stringify({ id, topic, size }))
    else if (!quiet) note(`Sent ${size === undefined ? 'the file' : `${size.toLocaleString('en')} bytes`}.`)
  } finally {
    await room.disconnect()
  }
}
