/** Who may subscribe to the tracks of a participant of the loopback, as in livekit-server. */
import type { SubscriptionPermissionMessage } from '../signal/messages'

/** The permissions that one participant has set. */
export class PublisherPermissions {
  /** By identity; `undefined`: all may subscribe to all tracks. */
  #permissions: ReadonlyMap<string, { readonly all: boolean; readonly sids: ReadonlySet<string> }> | undefined

  /** `identityOf`: the identity of the participant with a SID. */
  set(
    { allParticipants, trackPermissions }: SubscriptionPermissionMessage,
    identityOf: (sid: string) => string | undefined,
  ): void {
    if (allParticipants) {
      this.#permissions = undefined
      return
    }
    this.#permissions = new Map(
      trackPermissions.map(({ participantIdentity, participantSid, allTracks, trackSids }) => [
        participantIdentity === '' ? (identityOf(participantSid) ?? '') : participantIdentity,
        { all: allTracks, sids: new Set(trackSids) },
      ]),
    )
  }

  permits(identity: string, trackSid: string): boolean {
    if (this.#permissions === undefined) return true
    const permission = this.#permissions.get(identity)
    return permission !== undefined && (permission.all || permission.sids.has(trackSid))
  }

  /** The publisher's new session begins with the default. */
  clear(): void {
    this.#permissions = undefined
  }
}
