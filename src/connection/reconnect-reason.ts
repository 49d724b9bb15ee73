/** Why a session is resumed: what the server is told of it. */
import type { ReconnectReason } from '@livekit/protocol'
import { loadProtocol } from '../base/lazy'
import type { PeerTarget } from './peer-connections'

/** What was lost: signalling, the path of a peer connection, or nothing, because the server or the caller asks for it. */
export type Loss = 'signal' | PeerTarget | 'nothing'

/**
 * The reason to tell the server. `failed`: whether an attempt has failed already.
 *
 * If a path was lost, the room itself tries all other paths first. The reasons of failed connections make the server
 * choose the path instead: within 90 s of a connection's start, livekit-server then accepts nothing but ICE-TCP, and
 * after a loss of that nothing but relays over TLS. So the server is told of a failure only if the room's own attempt
 * has not found a path.
 */
export function reconnectReason(loss: Loss, failed: boolean): ReconnectReason {
  const { ReconnectReason } = loadProtocol()
  switch (loss) {
    case 'signal':
      return ReconnectReason.RR_SIGNAL_DISCONNECTED
    case 'nothing':
      return ReconnectReason.RR_UNKNOWN
    default:
  }
  if (!failed) return ReconnectReason.RR_SWITCH_CANDIDATE
  return loss === 'publisher' ? ReconnectReason.RR_PUBLISHER_FAILED : ReconnectReason.RR_SUBSCRIBER_FAILED
}
