/**
 * Transcription packets, as agents sent them before there were data streams, and still send them for older clients.
 * `transcriptions.ts` has the text streams that took their place.
 */
import type { Transcription as TranscriptionMessage } from '@livekit/protocol'
import * as check from '../base/arguments'
import { loadProtocol } from '../base/lazy'
import type { PacketSender } from '../data-packet/sender'
import { sendMessage } from './send-message'

/** A part of what a participant said. */
export interface TranscriptionSegment {
  /** The segment's id. Later versions of the segment have the same one. */
  readonly id: string
  /** All of the segment's text so far. */
  readonly text: string
  /** The language, `en` for example; may be empty. */
  readonly language: string
  /**
   * When the segment began and ended, in the unit that the agent chose; usually ms. 0 if the agent does not give it.
   */
  readonly startTime: number
  readonly endTime: number
  /** Whether the text will not change any more. */
  readonly final: boolean
  /** When the first version of the segment arrived, and when this version arrived: ms since 1970 by the local clock. */
  readonly firstReceivedTime: number
  readonly lastReceivedTime: number
}

/** What {@link LocalParticipant.publishTranscription} sends. The names are rtc-node's. */
export interface Transcription {
  /** The participant who spoke. */
  readonly participantIdentity: string
  /** The SID of the audio track. */
  readonly trackSid: string
  readonly segments: readonly OutgoingTranscriptionSegment[]
}

/** A segment to send. */
export interface OutgoingTranscriptionSegment {
  readonly id: string
  readonly text: string
  /** Whole numbers that fit 64 bits. Default: 0. */
  readonly startTime?: bigint | number | undefined
  readonly endTime?: bigint | number | undefined
  /** Default: `''`. */
  readonly language?: string | undefined
  /** Default: `false`. */
  readonly final?: boolean | undefined
}

/** Options of {@link LocalParticipant.publishTranscription}. */
export interface PublishTranscriptionOptions {
  /** Identities of the receivers. Default: all participants in the room. */
  readonly destinationIdentities?: readonly string[] | undefined
  /** Withdraws the packet while it waits to be sent. */
  readonly signal?: AbortSignal | undefined
}

/** See {@link LocalParticipant.publishTranscription}. */
export async function publishTranscription(
  sender: PacketSender,
  transcription: Transcription,
  given: PublishTranscriptionOptions = {},
): Promise<void> {
  const value = checkTranscription(transcription)
  await sendMessage(sender, given, () => ({
    case: 'transcription',
    value: new (loadProtocol().Transcription)(value),
  }))
}

/** Unfinished segments whose first arrival is remembered. The one that was heard of the longest ago is forgotten first. */
export const MAX_UNFINISHED_SEGMENTS = 1024
/** Characters of an identity and an id up to which it is remembered. */
const MAX_REMEMBERED_LENGTH = 1024

/** The received packets of a room. */
export class TranscriptionPackets {
  /** When an unfinished segment arrived first, by identity and id. */
  readonly #first = new Map<string, number>()

  segmentsOf({ segments, transcribedParticipantIdentity }: TranscriptionMessage): TranscriptionSegment[] {
    const now = Date.now()
    return segments.map(({ id, text, language, startTime, endTime, final }) => ({
      id,
      text,
      language,
      startTime: Number(startTime),
      endTime: Number(endTime),
      final,
      firstReceivedTime: this.#arrived(`${transcribedParticipantIdentity} ${id}`, final, now),
      lastReceivedTime: now,
    }))
  }

  #arrived(key: string, final: boolean, now: number): number {
    const first = this.#first.get(key) ?? now
    this.#first.delete(key)
    if (final || key.length > MAX_REMEMBERED_LENGTH) return first
    this.#first.set(key, first)
    const [oldest] = this.#first.keys()
    if (this.#first.size > MAX_UNFINISHED_SEGMENTS && oldest !== undefined) this.#first.delete(oldest)
    return first
  }
}

function checkTranscription(given: Transcription): {
  readonly transcribedParticipantIdentity: string
  readonly trackId: string
  readonly segments: ReturnType<typeof checkSegment>[]
} {
  if (!check.isObject(given)) throw check.invalidType('transcription', 'an object', given)
  const { participantIdentity, trackSid, segments } = given
  const list: unknown = segments
  if (!Array.isArray(list)) throw check.invalidType('transcription.segments', 'an array', list)
  return {
    transcribedParticipantIdentity: check.string('transcription.participantIdentity', participantIdentity),
    trackId: check.string('transcription.trackSid', trackSid),
    segments: list.map((segment, index) => checkSegment(`transcription.segments[${index}]`, segment)),
  }
}

function checkSegment(
  name: string,
  segment: unknown,
): {
  readonly id: string
  readonly text: string
  readonly language: string
  readonly startTime: bigint
  readonly endTime: bigint
  readonly final: boolean
} {
  if (!check.isObject(segment)) throw check.invalidType(name, 'an object', segment)
  return {
    id: check.string(`${name}.id`, segment['id']),
    text: check.string(`${name}.text`, segment['text']),
    language: check.string(`${name}.language`, segment['language'] ?? ''),
    startTime: checkTime(`${name}.startTime`, segment['startTime']),
    endTime: checkTime(`${name}.endTime`, segment['endTime']),
    final: check.boolean(`${name}.final`, segment['final'], false),
  }
}

function checkTime(name: string, time: unknown): bigint {
  const given =
    typeof time === 'bigint' ? time : BigInt(check.integer(name, time, 0, 0, Number.MAX_SAFE_INTEGER))
  return check.timestamp(name, given)
}
