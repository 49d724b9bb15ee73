/** A network that loses UDP while data flows: TCP must serve, and the tracks go on. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Child } from '../helpers/child'
import { BadNetwork } from '../../scripts/lib/bad-network.cjs'
import { LivekitServer } from '../helpers/livekit-server'

let network: BadNetwork
let server: LivekitServer
beforeAll(async () => {
  network = await BadNetwork.start()
  server = await LivekitServer.start({ namespace: network.far })
})
afterAll(async () => {
  await server.stop()
  await network.close()
})

/** A subscriber beside the server: says the number of each frame of ours. */
const subscriber = (token: string) => `
  const room = await datatrack.connect(${JSON.stringify(server.url)}, ${JSON.stringify(token)})
  const track = await seen(room, 'track')
  const stream = track.subscribe()
  say('subscribed')
  void hear().then(() => stream.close())
  for await (const frame of stream) say(Number(frame.userTimestamp))
  await room.disconnect()`

/** A publisher behind the link: says its events, and publishes a frame every 10 ms until it is told to end. */
const publisher = (token: string) => `
  const room = new datatrack.Room()
  for (const name of ['reconnecting', 'reconnected', 'disconnected']) room.on(name, () => say(name))
  await room.connect(${JSON.stringify(server.url)}, ${JSON.stringify(token)})
  const track = await room.localParticipant.publishDataTrack({ name: 'track' })
  let over = false
  void hear().then(() => { over = true })
  say('published')
  for (let number = 0; !over; number++) {
    await track.push({ payload: new Uint8Array(100), userTimestamp: BigInt(number) })
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  await room.disconnect()`

it('if UDP is cut in the middle of a stream, TCP takes over: the same track and loop go on', async () => {
  const room = `room-${process.pid}`
  await Child.with(
    publisher(await server.token(room, 'alice')),
    { namespace: network.near },
    async (alice) => {
      expect(await alice.next()).toBe('published')
      await Child.with(
        subscriber(await server.token(room, 'bob')),
        { namespace: network.far },
        async (bob) => {
          expect(await bob.next()).toBe('subscribed')
          const before = await bob.next<number>()
          network.near.blockUdp(true)
          expect(await alice.next()).toBe('reconnecting')
          expect(await alice.next()).toBe('reconnected')
          network.near.blockUdp(false)
          // What comes now was pushed long after the cut, and came by TCP.
          let newest = before
          while (newest < before + 200) newest = await bob.next<number>()
          bob.tell('enough')
          expect(await bob.end()).toEqual({ code: 0, stderr: '' })
          alice.tell('enough')
          expect(await alice.next()).toBe('disconnected')
          expect(await alice.end()).toEqual({ code: 0, stderr: '' })
        },
      )
    },
  )
}, 90_000)
