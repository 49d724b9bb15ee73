/** Default options of a native session. */
import { encryptionForNative } from '../e2ee/session-encryption'
import type { EncryptionOptions } from '../e2ee/session-encryption'
import type { NativeSessionOptions } from '../native/native'

/** ms that the SFU may take to answer a publish request. LiveKit's other SDKs use the same value. */
export const PUBLISH_TIMEOUT = 10_000
/** ms that the SFU may take to assign a subscriber handle. LiveKit's other SDKs use the same value. */
export const SUBSCRIBE_TIMEOUT = 10_000
/** Bytes of packets held for handles that the SFU has not announced yet. */
export const EARLY_PACKET_BYTES = 262_144
/** ms that such packets are held. */
export const EARLY_PACKET_MS = 1000

/**
 * Checks the encryption options and returns the options of a native session with them.
 *
 * `pacedSubscriptions`: requests to subscribe may wait before they are sent, and the native side is told when they are
 * sent.
 */
export function sessionOptions(
  encryption: EncryptionOptions | undefined,
  pacedSubscriptions = false,
): NativeSessionOptions {
  return {
    ...encryptionForNative(encryption),
    publishTimeoutMs: PUBLISH_TIMEOUT,
    subscribeTimeoutMs: SUBSCRIBE_TIMEOUT,
    pacedSubscriptions,
    earlyPacketBytes: EARLY_PACKET_BYTES,
    earlyPacketMs: EARLY_PACKET_MS,
  }
}
