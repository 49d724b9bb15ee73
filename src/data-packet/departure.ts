/** What holds for packets of a participant that has left: for its streams, and for its answers to calls. */

/**
 * ms after a participant has left, or has a new session, in which packets that it sent before may still come: the server
 * tells of departures by signalling, and data takes a way of its own.
 */
export const DEPARTURE_GRACE = 2000

/** A participant's session. */
export interface Departed {
  readonly identity: string
  readonly sid: string
}
