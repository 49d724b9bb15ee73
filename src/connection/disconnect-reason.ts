/** Why a room was disconnected, as text and as the protocol's number. */

const disconnectReasons = [
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
  'userUnavailable',
  'userRejected',
  'sipTrunkFailure',
  'connectionTimeout',
  'mediaFailure',
  'agentError',
] as const

/** Why a room was disconnected, or a participant left it: `livekit.DisconnectReason` as text. */
export type DisconnectReason = (typeof disconnectReasons)[number]

/** @internal The text for the protocol's number. */
export function disconnectReason(number: unknown): DisconnectReason {
  return (typeof number === 'number' ? disconnectReasons[number] : undefined) ?? 'unknownReason'
}

/** @internal The protocol's number for the text. */
export function disconnectReasonNumber(reason: DisconnectReason): number {
  return disconnectReasons.indexOf(reason)
}
