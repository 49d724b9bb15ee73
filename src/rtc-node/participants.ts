/** Participants in the shapes of `@livekit/rtc-node`. */
import type { PathLike } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { SignalRequestError } from '../base/errors'
import { log } from '../base/logging'
import type { LocalTrackPublication as OwnLocalPublication } from '../media/local-publication'
import type { RemoteTrackPublication as OwnRemotePublication } from '../media/remote-publication'
import type { LocalParticipant as OwnLocal } from '../room/local-participant'
import type { RemoteParticipant as OwnRemote } from '../room/remote-participant'
import { kindDetailNumbers, kindNumber, reasonNumber } from './convert'
import { DisconnectReason } from './enums'
import type { ParticipantKind, ParticipantKindDetail } from './enums'
import { publishSettings } from './options'
import type { TrackPublishOptions } from './options'
import { LocalTrackPublication, RemoteTrackPublication } from './publications'
import type { TrackPublication } from './publications'
import type { PerformRpcParams, RpcInterceptor, RpcInvocationData } from './rpc'
import { byteInfo, ByteStreamWriter, textInfo, TextStreamWriter } from './streams'
import type { ByteStreamInfo, ByteStreamOptions, TextStreamInfo } from './streams'
import type { LocalTrack } from './tracks'

/** A chat message. */
export interface ChatMessage {
  id: string
  /** ms since 1970, by the sender's clock. */
  timestamp: number
  message: string
  editTimestamp?: number
  generated?: boolean
}

/** A part of what a participant said. */
export interface TranscriptionSegment {
  id: string
  text: string
  startTime: bigint
  endTime: bigint
  language: string
  final: boolean
}

/** What {@link LocalParticipant.publishTranscription} sends. */
export interface Transcription {
  participantIdentity: string
  trackSid: string
  segments: TranscriptionSegment[]
}

/** Options of {@link LocalParticipant.publishData}. */
export interface DataPublishOptions {
  /** Default: `false`. */
  reliable?: boolean
  /** Default: all participants in the room. */
  destination_identities?: string[]
  topic?: string
}

/** What the members of a {@link Participant} say, in one object. */
export interface ParticipantInfo {
  sid?: string
  name?: string
  identity: string
  metadata: string
  attributes: Record<string, string>
  kind: ParticipantKind
  kindDetails: ParticipantKindDetail[]
  disconnectReason?: DisconnectReason
}

/** A participant of a room. */
export abstract class Participant {
  /** The tracks by SID. Do not change the map. */
  abstract readonly trackPublications: Map<string, TrackPublication>
  readonly #own: OwnLocal | OwnRemote

  /** @internal */
  constructor(own: OwnLocal | OwnRemote) {
    this.#own = own
  }

  get sid(): string | undefined {
    return this.#own.sid
  }

  get name(): string | undefined {
    return this.#own.name
  }

  get identity(): string {
    return this.#own.identity
  }

  get metadata(): string {
    return this.#own.metadata
  }

  get attributes(): Record<string, string> {
    return { ...this.#own.attributes }
  }

  get kind(): ParticipantKind {
    return kindNumber(this.#own.kind)
  }

  get kindDetails(): ParticipantKindDetail[] {
    return kindDetailNumbers(this.#own.kindDetails)
  }

  /** Why the participant left; `undefined` while it is in the room, and if the server gave no reason. */
  get disconnectReason(): DisconnectReason | undefined {
    const reason = 'disconnectReason' in this.#own ? this.#own.disconnectReason : undefined
    const number = reason === undefined ? DisconnectReason.UNKNOWN_REASON : reasonNumber(reason)
    return number === DisconnectReason.UNKNOWN_REASON ? undefined : number
  }

  /** What the other members say, at this moment. `@livekit/agents` reads the kind here. */
  get info(): ParticipantInfo {
    const { sid, name, identity, metadata, attributes, kind, kindDetails, disconnectReason } = this
    return {
      ...(sid !== undefined && { sid }),
      ...(name !== undefined && { name }),
      ...{ identity, metadata, attributes, kind, kindDetails },
      ...(disconnectReason !== undefined && { disconnectReason }),
    }
  }
}

/** A remote participant. */
export class RemoteParticipant extends Participant {
  readonly trackPublications: Map<string, RemoteTrackPublication> = new Map<string, RemoteTrackPublication>()
  readonly #publications = new WeakMap<OwnRemotePublication, RemoteTrackPublication>()

  /** @internal The same object for the same publication. */
  publicationOf(own: OwnRemotePublication): RemoteTrackPublication {
    const known = this.#publications.get(own)
    if (known !== undefined) return known
    const publication = new RemoteTrackPublication(own)
    this.#publications.set(own, publication)
    return publication
  }
}

/** The local participant of one connection of a room. */
export class LocalParticipant extends Participant {
  readonly trackPublications: Map<string, LocalTrackPublication> = new Map<string, LocalTrackPublication>()
  readonly #own: OwnLocal
  readonly #encrypted: boolean
  readonly #publications = new WeakMap<OwnLocalPublication, LocalTrackPublication>()

  /** @internal */
  constructor(own: OwnLocal, encrypted: boolean) {
    super(own)
    this.#own = own
    this.#encrypted = encrypted
  }

  /** @internal The same object for the same publication. */
  publicationOf(own: OwnLocalPublication): LocalTrackPublication {
    const known = this.#publications.get(own)
    if (known !== undefined) return known
    const publication = new LocalTrackPublication(own, this.#encrypted)
    this.#publications.set(own, publication)
    return publication
  }

  /** Sends a data packet. The promise of a reliable one resolves when the server has acknowledged it. */
  async publishData(data: Uint8Array, options: DataPublishOptions = {}): Promise<void> {
    const { reliable = false, topic, destination_identities: destinationIdentities } = options
    await this.#own.publishData(data, { reliable, topic, destinationIdentities })
  }

  /** Sends a DTMF digit. */
  async publishDtmf(code: number, digit: string): Promise<void> {
    await this.#own.publishDtmf(code, digit)
  }

  /** Sends a transcription packet. */
  async publishTranscription(transcription: Transcription): Promise<void> {
    await this.#own.publishTranscription(transcription)
  }

  /** Sets the metadata. As in rtc-node, a refusal of the server rejects nothing; it is logged. */
  async updateMetadata(metadata: string): Promise<void> {
    // LiveKit reads an empty text as "no change".
    if (metadata !== '') await unlessRefused('metadata', this.#own.setMetadata(metadata))
  }

  /** Sets the name. As in rtc-node, a refusal of the server rejects nothing; it is logged. */
  async updateName(name: string): Promise<void> {
    if (name !== '') await unlessRefused('name', this.#own.setName(name))
  }

  /**
   * Sets some attributes; an empty value removes one. As in rtc-node, a refusal of the server rejects nothing; it is
   * logged.
   */
  async setAttributes(attributes: Record<string, string>): Promise<void> {
    await unlessRefused('attributes', this.#own.setAttributes(attributes))
  }

  /** Opens a text stream that is written piece by piece. */
  async streamText(
    options: {
      topic?: string
      attributes?: Record<string, string>
      destinationIdentities?: string[]
      streamId?: string
      senderIdentity?: string
    } = {},
  ): Promise<TextStreamWriter> {
    const { senderIdentity, ...others } = options
    const writer = await this.#own.streamText({
      ...others,
      // A participant other than an agent may name itself only.
      senderIdentity: senderIdentity === this.identity ? undefined : senderIdentity,
    })
    return new TextStreamWriter(writer)
  }

  /** Sends a text of any length. */
  async sendText(
    text: string,
    options: {
      topic?: string
      attributes?: Record<string, string>
      destinationIdentities?: string[]
      streamId?: string
      compress?: boolean
    } = {},
  ): Promise<TextStreamInfo> {
    return textInfo(await this.#own.sendText(text, options))
  }

  /** Opens a byte stream that is written piece by piece. */
  async streamBytes(
    options: {
      name?: string
      topic?: string
      attributes?: Record<string, string>
      destinationIdentities?: string[]
      streamId?: string
      mimeType?: string
      totalSize?: number
    } = {},
  ): Promise<ByteStreamWriter> {
    return new ByteStreamWriter(await this.#own.streamBytes(options))
  }

  /** Sends bytes of any length. */
  async sendBytes(
    bytes: Uint8Array,
    options: ByteStreamOptions & { streamId?: string } = {},
  ): Promise<ByteStreamInfo> {
    return byteInfo(await this.#own.sendBytes(bytes, options))
  }

  /** Sends a file as a byte stream. Its name is `unknown` if the options have none, as in rtc-node. */
  async sendFile(path: PathLike, options: ByteStreamOptions = {}): Promise<void> {
    const file = path instanceof URL ? fileURLToPath(path) : path.toString()
    await this.#own.sendFile(file, { name: 'unknown', ...options })
  }

  /** Sends a chat message. Without `destinationIdentities`, all participants get it. */
  async sendChatMessage(
    text: string,
    destinationIdentities?: string[],
    senderIdentity?: string,
  ): Promise<ChatMessage> {
    return shownMessage(await this.#own.sendChatMessage(text, { destinationIdentities, senderIdentity }))
  }

  /** Replaces the text of a chat message. */
  async editChatMessage(
    editText: string,
    originalMessage: ChatMessage,
    destinationIdentities?: string[],
    senderIdentity?: string,
  ): Promise<ChatMessage> {
    const options = { destinationIdentities, senderIdentity }
    return shownMessage(await this.#own.editChatMessage(editText, originalMessage, options))
  }

  /** Publishes an audio track. The promise resolves when the server has accepted it. */
  async publishTrack(
    track: LocalTrack,
    options: Partial<TrackPublishOptions> = {},
  ): Promise<LocalTrackPublication> {
    const publication = this.publicationOf(await this.#own.publishTrack(track.own, publishSettings(options)))
    if (publication.sid !== undefined) this.trackPublications.set(publication.sid, publication)
    return publication
  }

  /** Ends the publication of a track. Its source stays open in any case. */
  async unpublishTrack(trackSid: string, _stopOnUnpublish = true): Promise<void> {
    await this.#own.unpublishTrack(trackSid)
    const publication = this.trackPublications.get(trackSid)
    this.trackPublications.delete(trackSid)
    publication?.ended()
  }

  /** Calls a method of another participant. */
  async performRpc(params: PerformRpcParams): Promise<string> {
    return await this.#own.performRpc(params)
  }

  /** Adds an interceptor of calls. Adding it again does nothing. */
  addRpcInterceptor(interceptor: RpcInterceptor): void {
    this.#own.addRpcInterceptor(interceptor)
  }

  /** Removes an interceptor. */
  removeRpcInterceptor(interceptor: RpcInterceptor): void {
    this.#own.removeRpcInterceptor(interceptor)
  }

  /** Handles the calls of a method. It takes the place of an earlier handler. */
  registerRpcMethod(method: string, handler: (data: RpcInvocationData) => Promise<string>): void {
    this.#own.unregisterRpcMethod(method)
    this.#own.registerRpcMethod(method, handler)
  }

  /** Removes the handler of a method. */
  unregisterRpcMethod(method: string): void {
    this.#own.unregisterRpcMethod(method)
  }
}

/** Programs for rtc-node do not expect the promise to reject, and Node.js ends a process for that. */
async function unlessRefused(what: string, request: Promise<void>): Promise<void> {
  try {
    await request
  } catch (error) {
    if (!(error instanceof SignalRequestError)) throw error
    log('warn', 'room', `the local participant keeps its ${what}: ${error.message}`)
  }
}

interface OwnMessage {
  readonly id: string
  readonly timestamp: number
  readonly message: string
  readonly editTimestamp?: number | undefined
  readonly generated?: boolean | undefined
}

/** @internal A message with the fields of rtc-node's only. */
export function shownMessage({ id, timestamp, message, editTimestamp, generated }: OwnMessage): ChatMessage {
  return {
    id,
    timestamp,
    message,
    ...(editTimestamp !== undefined && { editTimestamp }),
    ...(generated !== undefined && { generated }),
  }
}
