/** A network that lets nothing but its proxy through: signalling and data must go through that proxy without an option. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Child } from '../helpers/child'
import { FarServer } from '../helpers/far-server'
import type { BadNetwork } from '../../scripts/lib/bad-network.cjs'
import type { LivekitServer } from '../helpers/livekit-server'

const PROXY = 3128

let far: FarServer
let network: BadNetwork
let server: LivekitServer
let ca = ''
beforeAll(async () => {
  far = await FarServer.start()
  ;({ network, server, ca } = far)
  network.near.blockUdp(true)
  network.near.allowTcpOnly(PROXY)
})
afterAll(() => far.stop())

/** A proxy beside the server. It connects to the ports of HTTP and HTTPS alone, as many do. Says what it was asked for. */
const proxy = () => `
  const proxy = require('node:http').createServer()
  proxy.on('connect', ({ url }, client) => {
    const { hostname, port } = new URL('tcp://' + url)
    say(Number(port))
    client.on('error', () => {})
    if (port !== '443' && port !== '7880') return client.end('HTTP/1.1 403 Forbidden\\r\\n\\r\\n')
    const upstream = require('node:net').connect(Number(port), hostname, () => {
      client.write('HTTP/1.1 200 OK\\r\\n\\r\\n')
      client.pipe(upstream).pipe(client)
    })
    upstream.on('error', () => client.destroy())
  })
  proxy.listen(${PROXY}, ${JSON.stringify(network.far.address)}, () => say('listens'))
  await hear()
  proxy.close()
  proxy.closeAllConnections()
  process.exit(0)`

/** A subscriber beside the server: says the number of the first frame of ours. */
const subscriber = (token: string) => `
  const room = await datatrack.connect(${JSON.stringify(server.url)}, ${JSON.stringify(token)})
  const frame = await (await seen(room, 'track')).subscribe().read()
  say(Number(frame.userTimestamp))
  await room.disconnect()`

/** A publisher behind the proxy: says its path, and publishes until it is told to end. */
const publisher = (token: string) => `
  process.env.HTTP_PROXY = process.env.HTTPS_PROXY = 'http://${network.far.address}:${PROXY}'
  const room = await datatrack.connect(${JSON.stringify(server.url)}, ${JSON.stringify(token)}, {
    ca: ${JSON.stringify(ca)},
  })
  const track = await room.localParticipant.publishDataTrack({ name: 'track' })
  say(room.stats().connection.path)
  let over = false
  void hear().then(() => { over = true })
  for (let number = 1; !over; number++) {
    await track.push({ payload: new Uint8Array(20_000), userTimestamp: BigInt(number) })
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  await room.disconnect()`

it('in a network that lets nothing but its proxy through, data goes through it to the relay over TLS', async () => {
  const room = `room-${process.pid}`
  const [first, second] = [await server.token(room, 'alice'), await server.token(room, 'bob')]
  await Child.with(proxy(), { namespace: network.far }, async (tunnels) => {
    expect(await tunnels.next()).toBe('listens')
    await Child.with(publisher(first), { namespace: network.near }, async (alice) => {
      expect(await alice.next()).toBe('relay/tls')
      await Child.with(subscriber(second), { namespace: network.far }, async (bob) => {
        expect(await bob.next()).toBeGreaterThan(0)
        expect(await bob.end()).toEqual({ code: 0, stderr: '' })
      })
      alice.tell('enough')
      expect(await alice.end()).toEqual({ code: 0, stderr: '' })
    })
    // Signalling, and then the relay; ICE over TCP was tried and refused.
    const asked = new Set([await tunnels.next(), await tunnels.next(), await tunnels.next()])
    expect(asked).toEqual(new Set([7880, 7881, 443]))
  })
})
