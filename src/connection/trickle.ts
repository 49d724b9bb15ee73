/** ICE candidates in signalling messages: in the JSON form of a browser's `RTCIceCandidateInit`. */
import type { SignalTarget } from '@livekit/protocol'
import { isObject } from '../base/arguments'
import { loadProtocol } from '../base/lazy'
import type { PeerConnectionMode } from './address'
import type { PeerTarget } from './peer-connections'
import type { SignalClient } from './signal-client'

/** The request that tells the server a local candidate. */
export function trickleRequest(target: PeerTarget, candidate: string): Parameters<SignalClient['send']>[0] {
  const { SignalTarget } = loadProtocol()
  return {
    case: 'trickle',
    value: {
      target: target === 'subscriber' ? SignalTarget.SUBSCRIBER : SignalTarget.PUBLISHER,
      candidateInit: JSON.stringify({ candidate, sdpMLineIndex: 0 }),
    },
  }
}

/** A remote candidate; `undefined` if it is not valid. */
export function candidateIn(candidateInit: string): string | undefined {
  let init: unknown
  try {
    init = JSON.parse(candidateInit)
  } catch {
    return undefined
  }
  const candidate = isObject(init) ? init['candidate'] : undefined
  return typeof candidate === 'string' && candidate !== '' ? candidate : undefined
}

/** The peer connection that a remote candidate is for. With one peer connection, there is only the publisher's. */
export function targetOf(target: SignalTarget, mode: PeerConnectionMode): PeerTarget {
  return mode === 'dual' && target === loadProtocol().SignalTarget.SUBSCRIBER ? 'subscriber' : 'publisher'
}
