/** Why a room was disconnected, as text and as the protocol's number. */

/** Why a room was disconnected: `livekit.DisconnectReason` as text. */
export type DisconnectReason =
  | 'unknownReason'
  | 'clientInitiated'
  | 'duplicateIdentity'
  | 'serverShutdown'
  | 'participantRemoved'
  | 'roomDeleted'
  | 'stateMismatch'
  | 'joinFailure'
  | 'migration'
  | 'signalClose'
  | 'roomClosed'

const disconnectReasons: readonly DisconnectReason[] = [
  'unknownReason',
  'clientInitiated',
  'duplicateIdentity',
  'serverShutdown',
  'participantRemoved',
  'roomDeleted',
  'stateMismatch',
  'joinFailure',
  'migration',
  'signalClose',
  'roomClosed',
]

/** @internal The text for the protocol's number. */
export function disconnectReason(number: unknown): DisconnectReason {
  return (typeof number === 'number' ? disconnectReasons[number] : undefined) ?? 'unknownReason'
}

/** @internal The protocol's number for the text. */
export function disconnectReasonNumber(reason: DisconnectReason): number {
  return disconnectReasons.indexOf(reason)
}
