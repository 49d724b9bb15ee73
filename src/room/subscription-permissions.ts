/** Which participants may subscribe to the local participant's data tracks. */
import * as check from '../base/arguments'
import type { DataTrackInfo } from '../data-track/info'
import type { SubscriptionPermissionMessage } from '../signal/messages'

/** What one participant may subscribe to. livekit-client's type has the same shape, without the track names. */
export interface ParticipantTrackPermission {
  /** The participant. Either this or `participantSid` is required. */
  readonly participantIdentity?: string | undefined
  /** The participant's SID, which changes when its connection is rebuilt. */
  readonly participantSid?: string | undefined
  /** Whether the participant may subscribe to all tracks. Default: `false`. */
  readonly allowAll?: boolean | undefined
  /** Names of the tracks that the participant may subscribe to, published or not. Default: none. */
  readonly allowedTrackNames?: readonly string[] | undefined
  /**
   * SIDs of the tracks that the participant may subscribe to. The SID of a published track stands for its name. Default:
   * none.
   */
  readonly allowedTrackSids?: readonly string[] | undefined
}

interface Permission {
  readonly identity: string
  readonly sid: string
  readonly all: boolean
  readonly names: ReadonlySet<string>
  readonly sids: readonly string[]
}

/** What the permissions need from their room. */
export interface PermittedTracks {
  /** The tracks that are published now. */
  readonly published: () => Iterable<DataTrackInfo>
  /** Sends a request; does nothing without a connection. */
  readonly send: (value: SubscriptionPermissionMessage) => void
}

/**
 * See the top of this file. The server knows tracks by their SIDs, which it gives anew in each session. So the request
 * is sent again whenever a track has got a SID.
 */
export class SubscriptionPermissions {
  readonly #tracks: PermittedTracks
  /** `undefined`: all participants may subscribe to all tracks, as is the default in each session of the server. */
  #permissions: readonly Permission[] | undefined
  #sending = false

  constructor(tracks: PermittedTracks) {
    this.#tracks = tracks
  }

  /** See {@link LocalParticipant.setTrackSubscriptionPermissions}. */
  set(allParticipantsAllowed: boolean, permissions: readonly ParticipantTrackPermission[]): void {
    check.requiredBoolean('allParticipantsAllowed', allParticipantsAllowed)
    const published = [...this.#tracks.published()]
    const checked = checkPermissions(permissions, published)
    this.#permissions = allParticipantsAllowed ? undefined : checked
    this.#tracks.send(this.#message())
  }

  /** A track has got a SID. */
  published(): void {
    if (this.#permissions === undefined || this.#sending) return
    this.#sending = true
    // After a rebuild, many tracks get theirs in one turn.
    queueMicrotask(() => {
      this.#sending = false
      this.restore()
    })
  }

  /** There is a connection, for the first time or again. */
  restore(): void {
    if (this.#permissions !== undefined) this.#tracks.send(this.#message())
  }

  /** Whether a participant may subscribe to a track. */
  permits(participant: { readonly identity: string; readonly sid: string }, name: string): boolean {
    const mine = this.#permissions?.filter(
      ({ identity, sid }) =>
        identity === participant.identity || (identity === '' && sid === participant.sid),
    )
    return mine === undefined || mine.some(({ all, names }) => all || names.has(name))
  }

  #message(): SubscriptionPermissionMessage {
    const permissions = this.#permissions
    if (permissions === undefined) return { allParticipants: true, trackPermissions: [] }
    const published = [...this.#tracks.published()]
    const trackPermissions = permissions.map(({ identity, sid, all, names, sids }) => ({
      participantIdentity: identity,
      participantSid: sid,
      allTracks: all,
      trackSids: [...sids, ...published.filter(({ name }) => names.has(name)).map((track) => track.sid)],
    }))
    return { allParticipants: false, trackPermissions }
  }
}

function checkPermissions(
  given: readonly ParticipantTrackPermission[],
  published: readonly DataTrackInfo[],
): Permission[] {
  const list = 'participantTrackPermissions'
  if (!Array.isArray(given)) throw check.invalidType(list, 'an array', given)
  const permissions: readonly ParticipantTrackPermission[] = given
  return permissions.map((permission, index) => checkPermission(`${list}[${index}]`, permission, published))
}

function checkPermission(
  name: string,
  given: ParticipantTrackPermission,
  published: readonly DataTrackInfo[],
): Permission {
  if (!check.isObject(given)) throw check.invalidType(name, 'an object', given)
  const { participantIdentity = '', participantSid = '', allowAll } = given
  const identity = check.string(`${name}.participantIdentity`, participantIdentity)
  const sid = check.string(`${name}.participantSid`, participantSid)
  if (identity === '' && sid === '') throw check.outOfRange(`${name}.participantIdentity.length`, '>= 1', 0)
  const names = new Set(check.strings(`${name}.allowedTrackNames`, given.allowedTrackNames ?? []))
  const sids: string[] = []
  for (const trackSid of check.strings(`${name}.allowedTrackSids`, given.allowedTrackSids ?? [])) {
    const track = published.find((info) => info.sid === trackSid)
    if (track === undefined) sids.push(trackSid)
    else names.add(track.name)
  }
  return { identity, sid, all: check.boolean(`${name}.allowAll`, allowAll, false), names, sids }
}
