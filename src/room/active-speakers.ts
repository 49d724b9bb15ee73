/** The messages of the server about speakers and the quality of connections. */
import { isObject } from '../base/arguments'
import { log } from '../base/logging'
import { connectionQualityOf } from './activity'
import { RoomEvent } from './events'
import type { TellRoomEvent } from './events'
import type { LocalParticipant } from './local-participant'
import type { RemoteParticipant } from './remote-participant'

type AnyParticipant = LocalParticipant | RemoteParticipant

/** Who speaks in a room, and how good each participant's connection is. It lives as long as the room. */
export class ActiveSpeakers {
  readonly #local: LocalParticipant
  readonly #remote: ReadonlyMap<string, RemoteParticipant>
  readonly #tell: TellRoomEvent
  #speakers: readonly AnyParticipant[] = []
  /** The kinds of messages that were malformed; each is logged once in a connection. */
  readonly #malformed = new Set<string>()

  constructor(local: LocalParticipant, remote: ReadonlyMap<string, RemoteParticipant>, tell: TellRoomEvent) {
    this.#local = local
    this.#remote = remote
    this.#tell = tell
  }

  /** The participants that speak, the loudest first. */
  get speakers(): readonly AnyParticipant[] {
    return this.#speakers
  }

  /** Handles a message of the server, if it is about this. Returns whether it is. */
  handle(kind: string | undefined, value: unknown): boolean {
    if (kind === 'speakersChanged') this.#speakersChanged(entries(value, 'speakers'))
    else if (kind === 'connectionQuality') this.#qualityChanged(entries(value, 'updates'))
    else return false
    return true
  }

  /** A participant left, or has a new session, which has not spoken yet. */
  gone(participant: AnyParticipant): void {
    participant.activity.connectionQuality = 'unknown'
    if (!this.#speakers.includes(participant)) return
    participant.activity.speaks(false, 0)
    this.#changed(this.#speakers.filter((other) => other !== participant))
  }

  /** The session has ended. Of the next one nothing is known yet. */
  clear(): void {
    this.#malformed.clear()
    const spoke = this.#speakers
    for (const participant of [this.#local, ...this.#remote.values()]) {
      participant.activity.speaks(false, 0)
      participant.activity.connectionQuality = 'unknown'
    }
    if (spoke.length > 0) this.#changed([])
  }

  /** The message has the participants whose state has changed. */
  #speakersChanged(changes: readonly unknown[] | undefined): void {
    if (changes === undefined) {
      this.#skipped('speakersChanged')
      return
    }
    const speakers = new Set(this.#speakers)
    const bySid = this.#bySid(changes.length)
    for (const change of changes) {
      if (!isSpeaker(change)) {
        this.#skipped('speakersChanged')
        continue
      }
      const { sid, level = 0, active = false } = change
      const participant = bySid(sid)
      if (participant === undefined) continue
      participant.activity.speaks(active, Math.min(Math.max(level, 0), 1))
      if (active) speakers.add(participant)
      else speakers.delete(participant)
    }
    this.#changed([...speakers].sort((one, other) => other.audioLevel - one.audioLevel))
  }

  #changed(speakers: readonly AnyParticipant[]): void {
    this.#speakers = speakers
    // Listeners get a list of their own.
    this.#tell(RoomEvent.ActiveSpeakersChanged, [...speakers])
  }

  #qualityChanged(updates: readonly unknown[] | undefined): void {
    if (updates === undefined) {
      this.#skipped('connectionQuality')
      return
    }
    const bySid = this.#bySid(updates.length)
    for (const update of updates) {
      const { participantSid, quality: number } = isObject(update) ? update : {}
      const quality = connectionQualityOf(number ?? 0)
      if (typeof participantSid !== 'string' || quality === undefined) {
        this.#skipped('connectionQuality')
        continue
      }
      const participant = bySid(participantSid)
      if (participant === undefined || participant.activity.connectionQuality === quality) continue
      participant.activity.connectionQuality = quality
      this.#tell(RoomEvent.ConnectionQualityChanged, quality, participant)
    }
  }

  /** Finds participants by SID. For more than a few, a table is made once. */
  #bySid(count: number): (sid: string) => AnyParticipant | undefined {
    if (count < 2) return (sid) => this.#find(sid)
    const table = new Map<string, AnyParticipant>([[this.#local.sid, this.#local]])
    for (const participant of this.#remote.values()) table.set(participant.sid, participant)
    return (sid) => table.get(sid)
  }

  #find(sid: string): AnyParticipant | undefined {
    if (this.#local.sid === sid) return this.#local
    for (const participant of this.#remote.values()) if (participant.sid === sid) return participant
    return undefined
  }

  #skipped(kind: string): void {
    if (this.#malformed.has(kind)) return
    this.#malformed.add(kind)
    log('warn', 'room', `skipped a malformed part of ${kind}; further ones are skipped without a message`)
  }
}

function entries(value: unknown, list: string): readonly unknown[] | undefined {
  const found: unknown = isObject(value) ? value[list] : undefined
  return Array.isArray(found) ? found : undefined
}

/** In plain objects of bufbuild 2, fields with the value zero are absent. */
function isSpeaker(
  value: unknown,
): value is { readonly sid: string; readonly level?: number; readonly active?: boolean } {
  if (!isObject(value)) return false
  const { sid, level = 0, active = false } = value
  return typeof sid === 'string' && Number.isFinite(level) && typeof active === 'boolean'
}
