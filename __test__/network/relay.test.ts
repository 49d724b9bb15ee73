/** A network that lets nothing but signalling and TLS to port 443 through: a relay must serve without being asked for. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Child } from '../helpers/child'
import { FarServer, ICE_TCP } from '../helpers/far-server'
import type { BadNetwork } from '../../scripts/lib/bad-network.cjs'
import type { LivekitServer } from '../helpers/livekit-server'

let far: FarServer
let network: BadNetwork
let server: LivekitServer
let ca = ''
beforeAll(async () => {
  far = await FarServer.start()
  ;({ network, server, ca } = far)
})
afterAll(() => far.stop())

/** A subscriber beside the server: says the number of the first frame of ours. */
const subscriber = (token: string) => `
  const room = await datatrack.connect(${JSON.stringify(server.url)}, ${JSON.stringify(token)})
  const frame = await (await seen(room, 'track')).subscribe().read()
  say(Number(frame.userTimestamp))
  await room.disconnect()`

/** A publisher behind the link, with no option but the authority: says its path, and publishes until it is told to end. */
const publisher = (token: string) => `
  const room = await datatrack.connect(${JSON.stringify(server.url)}, ${JSON.stringify(token)}, {
    ca: ${JSON.stringify(ca)},
  })
  say(room.stats().connection.path)
  const track = await room.localParticipant.publishDataTrack({ name: 'track' })
  let over = false
  void hear().then(() => { over = true })
  for (let number = 1; !over; number++) {
    await track.push({ payload: new Uint8Array(20_000), userTimestamp: BigInt(number) })
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  await room.disconnect()`

it('without UDP and without ICE over TCP, data goes through the relay over TLS that the server names', async () => {
  network.near.blockUdp(true)
  network.near.blockTcp(ICE_TCP)
  const room = `room-${process.pid}`
  const near = { namespace: network.near }
  await Child.with(publisher(await server.token(room, 'alice')), near, async (alice) => {
    expect(await alice.next()).toBe('relay/tls')
    const beside = { namespace: network.far }
    await Child.with(subscriber(await server.token(room, 'bob')), beside, async (bob) => {
      expect(await bob.next()).toBeGreaterThan(0)
      expect(await bob.end()).toEqual({ code: 0, stderr: '' })
    })
    alice.tell('enough')
    expect(await alice.end()).toEqual({ code: 0, stderr: '' })
  })
}, 60_000)
