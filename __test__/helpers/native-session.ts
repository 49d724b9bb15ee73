/** Sessions and connections of the addon itself, without the package's classes around them. */
import { loadBinding } from '../../src/native/loader'
import type { NativeConnection, NativeSession, NativeSessionOptions } from '../../src/native/native'

export const sessionOptions: NativeSessionOptions = {
  encryption: 'none',
  keyDerivation: 'PBKDF2',
  sharedKey: false,
  ratchetWindow: 16,
  failureTolerance: -1,
  publishTimeoutMs: 10_000,
  subscribeTimeoutMs: 10_000,
  pacedSubscriptions: false,
  earlyPacketBytes: 262_144,
  earlyPacketMs: 1_000,
}

/** A connection that has not connected yet, and its session. */
export function newConnection(): { session: NativeSession; connection: NativeConnection } {
  const session = loadBinding().createServerSession(sessionOptions)
  const connection = session.connect({
    mode: 'single',
    nextSession: false,
    udp: true,
    tcp: true,
    relay: true,
  })
  return { session, connection }
}
