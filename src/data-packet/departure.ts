/** The time to wait for packets of a participant that has left: for its streams, and for its answers to calls. */

/**
 * ms after a participant has left, or has a new session, in which packets that it sent before may still arrive. The
 * server announces departures by signalling, which is independent of the data channels.
 */
export const DEPARTURE_GRACE = 2000

/** A participant's session. */
export interface Departed {
  readonly identity: string
  readonly sid: string
}
