/** DTMF digits, to and from telephones that take part by SIP. The names are livekit-client's. */
import type { SipDTMF as SipDtmfMessage } from '@livekit/protocol'
import * as check from '../base/arguments'
import { loadProtocol } from '../base/lazy'
import type { PacketSender } from '../data-packet/sender'
import { sendMessage } from './send-message'

/** A digit that was dialled. */
export interface SipDTMF {
  /** The number of the digit in RFC 4733: 0 to 9, 10 for `*`, 11 for `#`, 12 to 15 for `A` to `D`. */
  readonly code: number
  /** The digit itself, `#` for example. */
  readonly digit: string
}

/** Options of {@link LocalParticipant.publishDtmf}. */
export interface PublishDtmfOptions {
  /** Identities of the receivers. Default: all participants in the room. */
  readonly destinationIdentities?: readonly string[] | undefined
  /** Withdraws the digit while it waits to be sent. */
  readonly signal?: AbortSignal | undefined
}

/** The largest value of `SipDTMF.code`. */
const MAX_CODE = 2 ** 32 - 1

/** See {@link LocalParticipant.publishDtmf}. */
export async function publishDtmf(
  sender: PacketSender,
  code: number,
  digit: string,
  given: PublishDtmfOptions = {},
): Promise<void> {
  const value = {
    code: check.whole('code', code, MAX_CODE),
    digit: check.string('digit', digit),
  }
  if (digit === '') throw check.outOfRange('digit.length', '>= 1', 0)
  await sendMessage(sender, given, () => ({ case: 'sipDtmf', value: new (loadProtocol().SipDTMF)(value) }))
}

/** @internal */
export function dtmfOf({ code, digit }: SipDtmfMessage): SipDTMF {
  return { code, digit }
}
