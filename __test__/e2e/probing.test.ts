/** A server that sends candidates with ports of the client's own machine does not learn whether they are open. */
import { once } from 'node:events'
import { Agent } from 'node:http'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { SignalTarget } from '@livekit/protocol'
import { describe, expect, it } from 'vitest'
import type { PeerConnectionMode } from '../../src/connection/address'
import { rejection } from '../helpers/rooms'
import { flowing, publish, Scene } from '../helpers/scene'
import { SignalProxy } from '../helpers/signal-proxy'
import { withServer } from '../helpers/with-server'

const server = withServer()

/** An open port of this machine that does not belong to LiveKit. It records the ports from which it was dialled. */
class Door {
  readonly dialledFrom: number[] = []
  readonly knocked: Promise<unknown>
  readonly #sockets: Socket[] = []
  readonly #server: Server

  private constructor(listening: Server) {
    this.#server = listening
    this.knocked = once(listening, 'connection')
    listening.on('connection', (socket: Socket) => {
      this.dialledFrom.push(socket.remotePort!)
      this.#sockets.push(socket.on('error', () => {}))
      socket.write('220 this is something else\r\n')
    })
  }

  static async open(): Promise<Door> {
    const listening = createServer().listen(0, '127.0.0.1')
    await once(listening, 'listening')
    return new Door(listening)
  }

  get candidate(): string {
    const { port } = this.#server.address() as AddressInfo
    return `candidate:7 1 tcp 1671430143 127.0.0.1 ${port} typ host tcptype passive`
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }
}

/** A signalling proxy that sends such a port before the server's own candidates. It records the client's candidates. */
async function withDoor(
  use: (proxy: SignalProxy, door: Door, candidates: string[]) => Promise<void>,
): Promise<void> {
  const [proxy, door] = [await SignalProxy.start(server.url), await Door.open()]
  const candidates: string[] = []
  proxy.onRequest(({ message }) => {
    if (message.case === 'trickle') candidates.push(message.value.candidateInit)
    else if (message.case === 'offer' || message.case === 'answer') candidates.push(message.value.sdp)
  })
  proxy.onResponse(({ message }) => {
    if (message.case !== 'join') return
    // The candidates have to follow the `join` itself.
    queueMicrotask(() => {
      for (const target of [SignalTarget.PUBLISHER, SignalTarget.SUBSCRIBER]) {
        const candidateInit = JSON.stringify({ candidate: door.candidate, sdpMLineIndex: 0 })
        proxy.say({ case: 'trickle', value: { target, candidateInit } as never })
      }
    })
  })
  try {
    await use(proxy, door, candidates)
  } finally {
    door.close()
    await proxy.close()
  }
}

describe.each<PeerConnectionMode>(['single', 'dual'])('with %s peer connections', (peerConnections) => {
  const options = { peerConnections, iceTransports: 'tcp' } as const

  it('candidates on this machine are tried for a server on this machine, which does not learn its open ports', () =>
    Scene.with(server, (scene) =>
      withDoor(async (proxy, door, candidates) => {
        const alice = await scene.join('alice', { url: proxy.url, connect: options })
        await door.knocked
        const bob = await scene.join('bob')
        const { local, remote } = await publish(alice, bob)
        await flowing(local, remote.subscribe())
        expect(alice.stats().connection!.overTcp).toBe(true)
        expect(door.dialledFrom.length).toBeGreaterThan(0)
        for (const port of door.dialledFrom) expect(candidates.join('\n')).not.toContain(` ${port} typ`)
      }),
    ))

  it('candidates on this machine are not tried for a server elsewhere', () =>
    Scene.with(server, (scene) =>
      withDoor(async (proxy, door) => {
        // The agent works like a tunnel: signalling goes to this machine, but the URL names a server elsewhere.
        const agent = new Agent()
        agent.createConnection = () => connect(Number(new URL(proxy.url).port), '127.0.0.1')
        const connecting = scene.join('alice', {
          url: 'ws://192.0.2.1',
          connect: { ...options, agent, connectTimeout: 3_000 },
        })
        // The server's own candidates are on this machine, too. They are not dialled either, so there is no path.
        expect(await rejection(connecting)).toMatchObject({ reason: 'timeout' })
        expect(door.dialledFrom).toEqual([])
      }),
    ))
})
