/** What the exchange about subscribers needs from its room. */
import type { ParticipantPermissions } from '../participant-info'

/** A remote participant. */
export interface DemandParticipant {
  readonly identity: string
  readonly sid: string
  readonly isActive: boolean
  readonly permissions: ParticipantPermissions | undefined
}

/** The room. */
export interface DemandRoom {
  /** The remote participants by identity. */
  readonly participants: ReadonlyMap<string, DemandParticipant>
  /** Calls a method of a participant. `timeout`: ms until it must have answered; absent: the default. */
  call(identity: string, method: string, payload: string, timeout?: number): Promise<string>
}

/** Whether a participant may send an answer at all. Without the permission, it could not even acknowledge a call. */
export function announceable({ permissions }: DemandParticipant): boolean {
  return permissions?.canPublishData !== false
}
