/** The loopback's own arguments and network. */
import { expect, it } from 'vitest'
import { Loopback } from '../../index'
import { publish, rejection, subscribe, thrown, turn, withPair } from '../helpers/rooms'

const payload = new Uint8Array([1])

it('rejects wrong arguments', async () => {
  const wrong: [object, string][] = [
    [{ loss: 1.1 }, 'loss'],
    [{ delay: -1 }, 'delay'],
    [{ seed: 0.5 }, 'seed'],
    [{ jitter: '1' }, 'jitter'],
    [{ stall: 5 }, 'stall'],
    [{ bandwidth: NaN }, 'bandwidth'],
  ]
  for (const [options, name] of wrong) expect(thrown(() => new Loopback(options)).message).toContain(name)
  await withPair(async ({ sfu }) => {
    expect(thrown(() => sfu.join('')).code).toBe('ERR_OUT_OF_RANGE')
    expect(thrown(() => sfu.join(1 as any)).code).toBe('ERR_INVALID_ARG_TYPE')
    expect(thrown(() => sfu.kick('nobody')).code).toBe('ERR_OUT_OF_RANGE')
    expect((await rejection(sfu.reconnect('alice', 'half' as 'full'))).message).toContain("'resume', 'full'")
    expect(thrown(() => sfu.rejectNextPublish('never' as 'notAllowed')).message).toContain('notAllowed')
  })
})

it('loses and duplicates messages as its options say', async () => {
  await withPair(
    async (pair) => {
      const { local, remote } = await publish(pair, { maxQueueAge: Infinity })
      const stream = await subscribe(remote)
      for (let index = 0; index < 1000; index++) local.tryPush(payload)
      await local.flush()
      while (local.stats().sent > pair.sfu.stats().forwarded + pair.sfu.stats().lost) await turn()
      const { lost, duplicated, forwarded } = pair.sfu.stats()
      expect(lost).toBeGreaterThan(100)
      expect(lost).toBeLessThan(300)
      expect(duplicated).toBeGreaterThan(0)
      expect(forwarded + lost).toBeGreaterThanOrEqual(1000)
      pair.sfu.setNetwork({ loss: 0, duplicate: 0 })
      for (let index = 0; index < 100; index++) local.tryPush(payload)
      await local.flush()
      while (local.stats().sent > pair.sfu.stats().forwarded + lost) await turn()
      expect(pair.sfu.stats()).toMatchObject({ lost, duplicated, forwarded: forwarded + 100 })
      stream.close()
    },
    { loss: 0.2, duplicate: 0.1 },
  )
})
