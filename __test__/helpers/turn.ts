/** What tests of relays share: servers, and how a client names a relay. */
import type { IceServer } from '../../index'
import { serverUrl } from '../../src/connection/address'
import { SignalClient } from '../../src/connection/signal-client'
import { LivekitServer } from './livekit-server'
import type { TurnServer } from './livekit-server'
import { learnSecret } from './secrets'

/** Starts a server, and stops it after `use`. */
export async function serving(
  options: ConstructorParameters<typeof LivekitServer>[0],
  use: (server: LivekitServer) => Promise<void>,
): Promise<void> {
  const server = await LivekitServer.start(options)
  try {
    await use(server)
  } finally {
    await server.stop()
  }
}

/** The relay as a caller names it. */
export function iceServer({ host, port, protocol, username, credential }: TurnServer): IceServer {
  const url = protocol === 'tls' ? `turns:${host}:${port}` : `turn:${host}:${port}?transport=${protocol}`
  return { urls: url, username, credential }
}

/** The URLs and credentials that the server gives a participant. */
export async function ownServers(server: LivekitServer): Promise<TurnServer> {
  const { client, first } = await SignalClient.connect(
    serverUrl(server.url),
    await server.token('credentials', 'participant'),
    { mode: 'dual', participantSid: undefined, publisherOffer: undefined },
    { proxy: false, timeoutMs: 5000, signal: undefined },
    { message: () => undefined, lost: () => undefined, failed: () => undefined },
  )
  client.close()
  if (first.message.case !== 'join') throw new Error('the server did not let the participant join')
  const own = first.message.value.iceServers.find(({ credential }) => credential !== '')
  if (own === undefined) throw new Error('the server names no TURN server')
  learnSecret('TURN credential', own.credential)
  const { username, credential } = own
  return { host: '127.0.0.1', port: server.turnPorts.udp, protocol: 'udp', username, credential }
}
