/** If the server sends a participant away, the participant does not come back, whenever the server does so. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RoomEvent } from '../../index'
import type { DisconnectReason, Room } from '../../index'
import { rejection } from '../helpers/rooms'
import { event, Scene } from '../helpers/scene'
import { SignalProxy } from '../helpers/signal-proxy'
import { withServer } from '../helpers/with-server'

const server = withServer()
let proxy: SignalProxy
beforeEach(async () => {
  proxy = await SignalProxy.start(server.url)
})
afterEach(() => proxy.close())

const inScene = (use: (scene: Scene) => Promise<void>) => () => Scene.with(server, use)

/**
 * `end` ends alice's session for this reason. `left`: the participants in the room afterwards. `undefined`: the room
 * does not exist any more.
 */
interface Ending {
  readonly reason: DisconnectReason
  readonly end: (scene: Scene) => Promise<unknown>
  readonly left: readonly string[] | undefined
}

const endings: readonly Ending[] = [
  {
    reason: 'participantRemoved',
    end: ({ name }) => server.admin.removeParticipant(name, 'alice'),
    left: ['bob'],
  },
  { reason: 'roomDeleted', end: ({ name }) => server.admin.deleteRoom(name), left: undefined },
  { reason: 'duplicateIdentity', end: (scene) => scene.join('alice'), left: ['alice', 'bob'] },
]

async function inRoom({ name }: Scene): Promise<string[] | undefined> {
  const [room] = await server.admin.listRooms([name])
  if (room === undefined) return undefined
  const participants = await server.admin.listParticipants(name)
  return participants.map(({ identity }) => identity).sort()
}

/**
 * Resolves when the new session of a client has sent all that it has to say while its offer is not answered: pings, and,
 * with two peer connections, an answer with its candidate. The server has handled all of it. If a message comes while
 * the server ends a session, the server closes signalling, maybe without a `leave`.
 */
async function quiet(peerConnections: 'single' | 'dual'): Promise<void> {
  const last = [proxy.nextRequest('pingReq')]
  if (peerConnections === 'dual') last.push(proxy.nextRequest('trickle'))
  await Promise.all(last)
  await proxy.handled()
}

/** Records the connection events of a room. */
function connectionEvents(room: Room): string[] {
  const told: string[] = []
  room.on(RoomEvent.Reconnecting, () => told.push('reconnecting'))
  room.on(RoomEvent.Reconnected, () => told.push('reconnected'))
  room.on(RoomEvent.Disconnected, (reason) => told.push(reason))
  return told
}

describe.each(endings)('a participant that is removed ($reason) does not return', (ending) => {
  const { reason, end, left } = ending

  /** The end comes while alice is reconnecting: the proxy keeps the server's answer to her offer back. */
  async function whileReturning(
    scene: Scene,
    action: 'resume' | 'reconnect',
    peerConnections: 'single' | 'dual',
  ): Promise<void> {
    const alice = await scene.join('alice', { url: proxy.url, connect: { peerConnections } })
    await scene.join('bob')
    const told = connectionEvents(alice)
    const disconnected = event(alice, RoomEvent.Disconnected)
    const kept = proxy.keepBack('answer')
    const silent = quiet(peerConnections)
    proxy.sendAway(action)
    await kept
    await silent
    await end(scene)
    expect(await disconnected).toEqual([reason])
    expect([told, alice.state]).toEqual([['reconnecting', reason], 'disconnected'])
    expect(await inRoom(scene)).toEqual(left)
    expect(alice.remoteParticipants.size).toBe(0)
  }

  for (const mode of ['single', 'dual'] as const) {
    it(
      `while its new session has no ICE path yet (${mode})`,
      inScene((scene) => whileReturning(scene, 'reconnect', mode)),
    )
  }

  it(
    'while its resumed session has no ICE path yet',
    inScene((scene) => whileReturning(scene, 'resume', 'single')),
  )

  it(
    'while it connects for the first time',
    inScene(async (scene) => {
      await scene.join('bob')
      const [kept, silent] = [proxy.keepBack('answer'), quiet('single')]
      const connecting = rejection(scene.join('alice', { url: proxy.url }))
      await kept
      await silent
      await end(scene)
      const error = await connecting
      expect([error.reason, error.message.includes(reason)]).toEqual(['leaveRequest', true])
      expect(await inRoom(scene)).toEqual(left)
    }),
  )
})

describe.each(['single', 'dual'] as const)('a final removal (%s)', (peerConnections) => {
  it.each(endings)('($reason) is never reported as a reconnect, in 20 runs', async ({ reason, end }) => {
    for (let run = 0; run < 20; run++) {
      await Scene.with(server, async (scene) => {
        const alice = await scene.join('alice', { connect: { peerConnections } })
        const told = connectionEvents(alice)
        const disconnected = event(alice, RoomEvent.Disconnected)
        await end(scene)
        await disconnected
        expect([run, told]).toEqual([run, [reason]])
      })
    }
  })
})

describe.each(['resume', 'reconnect'] as const)('a participant whose request to %s', (action) => {
  it.each(endings)('is answered with its removal ($reason) does not ask again', ({ reason }) =>
    Scene.with(server, async (scene) => {
      const alice = await scene.join('alice', { url: proxy.url })
      const told = connectionEvents(alice)
      const disconnected = event(alice, RoomEvent.Disconnected)
      const answer = proxy.next(action === 'resume' ? 'reconnect' : 'join')
      proxy.passOnly('leave')
      proxy.sendAway(action)
      await answer
      proxy.sendAway('disconnect', reason)
      expect(await disconnected).toEqual([reason])
      expect([told, alice.state]).toEqual([['reconnecting', reason], 'disconnected'])
    }),
  )
})
