/** The message with which a server ends a session, or asks the client to come back. */
import { DataTrackConnectionError } from '../base/errors'
import { loadProtocol } from '../base/lazy'
import type { SignalResponseLike } from '../signal/messages'
import type { SignalResponse } from '@livekit/protocol'
import { disconnectReason, disconnectReasonNumber } from './disconnect-reason'
import type { DisconnectReason } from './disconnect-reason'

/** Whether the server ends the session for good and does not want a reconnect. */
export function isFinalLeave({ message }: Pick<SignalResponse, 'message'>): boolean {
  const { LeaveRequest_Action } = loadProtocol()
  return message.case === 'leave' && message.value.action === LeaveRequest_Action.DISCONNECT
}

/** The error for a first message that is not a welcome. */
export function refusal({ message }: Pick<SignalResponse, 'message'>): DataTrackConnectionError {
  if (message.case !== 'leave') return new DataTrackConnectionError('internal')
  return new DataTrackConnectionError('leaveRequest', { detail: disconnectReason(message.value.reason) })
}

/** A leave message, as a server would send it. */
export function leaveMessage(reason: DisconnectReason): SignalResponseLike {
  return { message: { case: 'leave', value: { reason: disconnectReasonNumber(reason) } } }
}
