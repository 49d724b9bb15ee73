/** Messages that are one reliable packet each: DTMF digits and transcriptions. */
import * as check from '../base/arguments'
import type { PacketSender, PacketValue } from '../data-packet/sender'

/** @internal The options of all of them. */
export interface MessageOptions {
  readonly destinationIdentities?: readonly string[] | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * @internal Checks the options and sends the message. The promise resolves when the server has acknowledged it.
 * `packet`: makes the packet; it is called only if the options are valid.
 */
export async function sendMessage(
  sender: PacketSender,
  given: MessageOptions,
  packet: () => PacketValue,
): Promise<void> {
  const options = check.options('options', given)
  const destinationIdentities = check.strings(
    'options.destinationIdentities',
    options.destinationIdentities ?? [],
  )
  const signal = check.signal('options.signal', options.signal)
  signal?.throwIfAborted()
  await sender.sendReliable(packet(), { destinationIdentities, signal }).acknowledged
}
