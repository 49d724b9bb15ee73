/** The bad network itself: what the other tests of this folder stand on. */
import { expect, it } from 'vitest'
import { Child } from '../helpers/child'
import { BadNetwork } from '../../scripts/lib/bad-network.cjs'
import type { NetworkChange } from '../../scripts/lib/bad-network.cjs'

/** Datagrams that fit into a socket's buffer, should its reader be late: a larger burst would lose some there. */
const COUNT = 150

/** Sends datagrams to and fro: what comes back, in order, and the round trip of the first, ms. */
async function echo(
  network: BadNetwork,
  count: number,
  bytes = 100,
): Promise<{ back: number[]; firstMs: number }> {
  const far = `
    const socket = require('node:dgram').createSocket('udp4')
    socket.on('message', (message, { port, address }) => socket.send(message, port, address))
    socket.bind(5000, ${JSON.stringify(network.far.address)}, () => say('ready'))
    await hear()
    socket.close()`
  const near = `
    const socket = require('node:dgram').createSocket('udp4')
    const back = []
    let firstMs
    const start = performance.now()
    socket.on('message', (message) => {
      firstMs ??= performance.now() - start
      back.push(message.readUInt32LE(0))
    })
    for (let number = 0; number < ${count}; number++) {
      const message = Buffer.alloc(${bytes})
      message.writeUInt32LE(number)
      socket.send(message, 5000, ${JSON.stringify(network.far.address)})
    }
    await hear()
    // What has come through may wait in the socket still: until some turns of the loop have brought nothing.
    for (let turns = 0, seen = back.length; turns < 5; turns++) {
      await new Promise(setImmediate)
      if (back.length !== seen) [turns, seen] = [0, back.length]
    }
    socket.close()
    say({ back, firstMs })`
  let result = { back: [] as number[], firstMs: 0 }
  await Child.with(far, { namespace: network.far }, async (echoing) => {
    await echoing.next()
    await Child.with(near, { namespace: network.near }, async (sending) => {
      // The link knows when all of them have come through.
      for (;;) {
        const { up, down } = await network.counters()
        if (up.received >= count && up.queued + down.queued === 0 && down.received === up.delivered) break
      }
      sending.tell('enough')
      result = await sending.next()
    })
  })
  return result
}

const numbers = (count: number) => Array.from({ length: count }, (_none, index) => index)

it('the network carries packets unchanged, and counts them', () =>
  BadNetwork.with(async (network) => {
    expect((await echo(network, 100)).back).toEqual(numbers(100))
    const { up, down } = await network.counters()
    expect(
      [up, down].map(({ received, delivered, lost, dropped }) => [received, delivered, lost, dropped]),
    ).toEqual([
      [100, 100, 0, 0],
      [100, 100, 0, 0],
    ])
  }))

it('the network delays packets in both directions', () =>
  BadNetwork.with(async (network) => {
    await network.set({ delayMs: 50 })
    const { back, firstMs } = await echo(network, 10)
    expect(back).toEqual(numbers(10))
    expect(firstMs).toBeGreaterThanOrEqual(100)
  }))

it.each<[string, NetworkChange, (back: readonly number[]) => void]>([
  ['loses', { loss: 0.2 }, (back) => expect(back.length).toBeLessThan(COUNT)],
  ['doubles', { duplicate: 0.2 }, (back) => expect(back.length).toBeGreaterThan(COUNT)],
  ['reorders', { reorder: 0.2 }, (back) => expect(back).not.toEqual(numbers(COUNT))],
  [
    'drops what does not fit',
    { bytesPerSecond: 1e6, queueBytes: 4096 },
    (back) => {
      expect(back.length).toBeLessThan(COUNT)
      expect(back[0]).toBe(0)
    },
  ],
])('%s packets', (_what, change, check) =>
  BadNetwork.with(async (network) => {
    await network.set({ ...change, direction: 'up' })
    check((await echo(network, COUNT)).back)
  }),
)

it('the program refuses unknown settings', () =>
  BadNetwork.with(async (network) => {
    await expect(network.set({ loss: 2 })).rejects.toThrow('loss is 0 to 1')
    await expect(network.set({ dealy: 2 } as NetworkChange)).rejects.toThrow('dealy')
    expect((await network.counters()).up.received).toBe(0)
  }))
