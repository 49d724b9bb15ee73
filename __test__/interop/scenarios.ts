/** What holds with each other SDK: the tests of the files that bring one. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RoomEvent } from '../../index'
import { rejection } from '../helpers/rooms'
import { event, seen } from '../helpers/scene'
import { withServer } from '../helpers/with-server'
import { carry, carryEach, inRoom, open, sendEach } from './carry'
import type { Pair, RoomSpec } from './carry'
import { OurPeer } from './peers/ours'
import { WARM } from './peers/pattern'
import type { Run } from './peers/pattern'
import type { Key, Keys, Peer } from './peers/peer'

export interface OtherPeer extends Peer {
  close(): Promise<void>
}

/** A passphrase for all. */
export const passphrase = (key: string, more: Partial<Keys> = {}): Keys => ({
  kind: 'passphrase',
  shared: true,
  set: [{ keyIndex: 0, key }],
  ...more,
})

/** A key for each participant that has one. */
const each = (...identities: string[]): Keys => ({
  kind: 'passphrase',
  shared: false,
  set: identities.map((identity) => ({ identity, keyIndex: 0, key: `key of ${identity}` })),
})

/** Bytes as they are. */
const raw: Keys = {
  kind: 'raw',
  shared: true,
  set: [{ keyIndex: 0, key: '000102030405060708090a0b0c0d0e0ff0e1d2c3b4a5968778695a4b3c2d1e0f' }],
}

const run = (track: string, more: Partial<Run> = {}): Run => ({
  track,
  size: 256,
  count: 20,
  rate: 50,
  ...more,
})

/** The tests with a peer, each plain or with encryption, and in both directions. */
export function describePeer(name: string, start: () => Promise<OtherPeer>): void {
  describe(`with ${name}`, () => {
    const us = new OurPeer()
    const server = withServer()
    let other: OtherPeer
    beforeAll(async () => {
      other = await start()
    }, 300_000)
    afterAll(() => other.close())

    const bothWays = (spec: RoomSpec, use: (pair: Pair) => Promise<void>): Promise<void> =>
      inRoom(server, [us, other], spec, async (there, back) => {
        await use(there)
        await use(back)
      })

    /** In a room for each: what changes keys starts anew. */
    const eachWay = async (spec: RoomSpec, use: (pair: Pair) => Promise<void>): Promise<void> => {
      await inRoom(server, [us, other], spec, use)
      await inRoom(server, [us, other], spec, (_there, back) => use(back))
    }

    /** Whether its SDK sends a frame without bytes; encrypted, each frame has some. */
    const sendsEmpty = ({ from }: Pair, keys: Keys | null): boolean => from === us || keys !== null

    for (const [title, keys] of [
      ['plain', null],
      ['encrypted', passphrase('correct horse')],
    ] as const) {
      it.each(['single', 'dual'] as const)(
        `frames arrive unchanged in both directions, ${title}, our peer connections: %s`,
        (peerConnections) =>
          bothWays({ keys, peerConnections }, async (pair) => {
            for (const size of [0, 1, 256, 15_900, 16_100]) {
              if (size === 0 && !sendsEmpty(pair, keys)) continue
              const track = `${pair.from.kind} ${size}`
              const { good, garbage, mistimed, duplicates } = await carryEach(
                pair,
                run(track, { size, count: 12, rate: 1000 }),
              )
              expect([track, good, garbage, mistimed, duplicates]).toEqual([track, 12, 0, 0, 0])
            }
          }),
        60_000,
      )

      it(
        `each loss of a large frame is accounted for, in both directions, ${title}`,
        () =>
          bothWays({ keys }, async (pair) => {
            const { faults, sent, delivered, ...lost } = await carry(
              pair,
              run(`large from ${pair.from.kind}`, { size: 200_000, count: 6, rate: 3 }),
            )
            expect(faults).toEqual([])
            expect(sent).toBe(delivered + lost.lostBySender + lost.lostByServer + lost.lostByReceiver)
          }),
        60_000,
      )
    }

    it('an unencrypted empty frame: the SDK does not send its own to the server, ours arrives', () =>
      bothWays({ keys: null }, async (pair) => {
        const outcome = await carry(pair, run(`empty from ${pair.from.kind}`, { size: 0 }))
        expect(outcome.faults).toEqual([])
        expect([outcome.delivered, outcome.lostBySender]).toEqual(
          sendsEmpty(pair, null) ? [outcome.sent, 0] : [0, outcome.sent],
        )
      }))

    it.each([
      ['a key for each participant', each('first', 'second')],
      ['raw bytes and HKDF', raw],
    ])('frames encrypted with %s arrive unchanged in both directions', (_title, keys) =>
      bothWays({ keys }, async (pair) => {
        const { good, garbage, mistimed } = await carryEach(pair, run(`from ${pair.from.kind}`))
        expect([good, garbage, mistimed]).toEqual([20, 0, 0])
      }),
    )

    it('a new key at a new index, set first at the receivers, costs no frame in either direction', () =>
      eachWay({ keys: passphrase('the first') }, async (pair) => {
        const { from, to, witness } = pair
        const next: Key = { keyIndex: 3, key: 'the second' }
        const rotating = run(`rotating from ${from.kind}`)
        const { good, garbage } = await open(pair, rotating, async () => {
          const { track } = rotating
          await sendEach(pair, rotating, 0, 7)
          await Promise.all([to.setKey(next), witness.setKey(next)])
          await sendEach(pair, rotating, 7, 6)
          await from.setKey(next)
          if (from instanceof OurPeer) from.useKey(3)
          // The old key is of no use any more, so what arrives was sealed with the new one.
          const nonsense = { keyIndex: 0, key: 'no key at all' }
          await Promise.all([to.setKey(nonsense), witness.setKey(nonsense)])
          await sendEach(pair, rotating, 13, 7)
          return to.peek(track)
        })
        expect([good, garbage]).toEqual([20, 0])
      }))

    it('a ratchet step at all ends keeps frames arriving, and excludes a participant that does not take it', () =>
      // The witness follows no step of a shared key by itself.
      eachWay({ keys: passphrase('to be ratcheted') }, async (pair) => {
        const { from, to, witness } = pair
        expect((await carryEach(pair, run('before'))).good).toBe(20)
        await Promise.all([from, to].map((peer) => peer.ratchetKey({ keyIndex: 0 })))
        const after = run('after')
        await from.publish(after.track)
        await Promise.all([to.subscribe(after), witness.subscribe(after)])
        const failed = event(witness.room, RoomEvent.EncryptionError)
        await from.mark(after, 'warm')
        await to.warmed(after.track, 3)
        const [error] = await failed
        expect(error.reason).toBe('decryptionFailed')
        // A browser does not say when it has taken the step: frames of the old key may have come before it.
        const { warm } = await witness.peek(after.track)
        await from.unmark(after.track)
        await sendEach(pair, after, 0, after.count)
        expect(await witness.peek(after.track)).toMatchObject({ good: 0, garbage: 0, warm })
        expect(witness.account(after.track).closed).toBe(true)
      }))

    it('a subscriber of theirs gets frames of our track while we permit it, and none before and after', () =>
      inRoom(server, [us, other], { keys: null }, async ({ to, witness, receiver }) => {
        const secret = run('secret')
        const { localParticipant } = us.room
        const permit = (...identities: string[]): void =>
          localParticipant.setTrackSubscriptionPermissions(
            false,
            identities.map((participantIdentity) => ({
              participantIdentity,
              allowedTrackNames: [secret.track],
            })),
          )
        permit('witness')
        await us.publish(secret.track)
        await Promise.all([to.subscribe(secret), witness.subscribe(secret)])
        await us.mark(secret, 'warm')
        const warm = async (): Promise<number> => (await to.peek(secret.track)).warm
        /** Waits until the witness has had some more frames. */
        const more = async (): Promise<void> =>
          witness.warmed(secret.track, (await witness.peek(secret.track)).warm + 5)
        await more()
        expect(await warm()).toBe(0)
        permit('witness', receiver)
        await to.warmed(secret.track, 3)
        permit('witness')
        for (let before = -1; before !== (await warm());) {
          before = await warm()
          await more()
        }
        await us.unmark(secret.track)
      }))

    it('a publisher of theirs keeps no last frame, so live frames come at once', () =>
      inRoom(server, [us, other], { keys: null }, async (_there, { from, receiver }) => {
        const live = run('live')
        await from.publish(live.track)
        const remote = await seen(us.room, live.track)
        expect(receiver).toBe('first')
        expect(await remote.latest()).toBeUndefined()
        // It refuses the question, so that this takes a round trip and no timeout.
        const asked = { destinationIdentity: 'second', method: 'node-datatrack/latest', payload: '{}' }
        expect((await rejection(us.room.localParticipant.performRpc(asked))).code).toBe(1400)
        const stream = remote.subscribe({ latest: true })
        await from.mark(live, 'warm')
        const frame = (await stream.read())!
        expect([frame.latched, frame.userTimestamp]).toEqual([false, WARM])
        await from.unmark(live.track)
      }))

    it.each([
      [
        'another key',
        [passphrase('wrong'), passphrase('right'), passphrase('right')],
        'decryptionFailed',
        'decryptionFailed',
      ],
      [
        'no key of theirs',
        [each('first'), each('first', 'second'), each('first', 'second')],
        'missingKey',
        'noKey',
      ],
    ] as const)(
      'with %s we deliver nothing, and report and count it',
      async (_title, keys, reason, counter) => {
        await inRoom(server, [us, other], { keys }, async (_there, { from, to, witness }) => {
          const unreadable = run('unreadable')
          await from.publish(unreadable.track)
          await Promise.all([to.subscribe(unreadable), witness.subscribe(unreadable)])
          const failed = event(us.room, RoomEvent.EncryptionError)
          await from.mark(unreadable, 'warm')
          // They are frames that open with the right key.
          await witness.warmed(unreadable.track, 3)
          const [error, participant] = await failed
          await from.unmark(unreadable.track)
          expect([error.reason, participant?.identity]).toEqual([reason, 'second'])
          const { closed, dropped } = us.account(unreadable.track)
          expect(closed).toBe(true)
          expect(dropped[counter]).toBeGreaterThan(0)
          expect(await us.peek(unreadable.track)).toMatchObject({ good: 0, garbage: 0, warm: 0 })
        })
      },
    )
  })
}
