/** Runs from one peer to another, with a participant of ours as a witness, and the account of what was lost where. */
import { watch } from 'node:fs'
import type { LivekitServer } from '../helpers/livekit-server'
import { sum } from '../helpers/scene'
import { ownOverflows } from '../helpers/udp-overflows'
import { OurPeer } from './peers/ours'
import type { Received, Run } from './peers/pattern'
import type { JoinSpec, Keys, Peer, PeerKind } from './peers/peer'

/** Who takes part; the witness subscribes to what the receiver subscribes to. */
export interface Pair {
  readonly from: Peer
  readonly to: Peer
  readonly witness: OurPeer
  /** The identity under which the receiver joined. */
  readonly receiver: string
  readonly server: LivekitServer
}

/** What came of a run, and who lost what. */
export interface Outcome {
  readonly from: PeerKind
  readonly to: PeerKind
  readonly size: number
  readonly rate: number
  readonly sent: number
  readonly delivered: number
  /** Frames that the sender's SDK refused, or took and did not bring to the server: the witness has not seen them either. */
  readonly lostBySender: number
  /**
   * Frames that the server says it dropped for the receiver, did not read in time from its socket, or encrypted and did not
   * send. It is packets that are counted: as many frames as that explains.
   */
  readonly lostByServer: number
  /** Frames that the server forwarded, and the receiver's SDK did not hand out. */
  readonly lostByReceiver: number
  /** What must not be; empty unless something of ours is broken, or bytes were changed by whomever. */
  readonly faults: readonly string[]
}

/** `warm` frames that must have come before a run begins: nothing else tells that the server forwards. */
const WARM_UP = 3

/** Opens the way for a run, lets `use` send it, and closes the way. */
export async function open<T>({ from, to, witness }: Pair, run: Run, use: () => Promise<T>): Promise<T> {
  const { track } = run
  await from.publish(track)
  await Promise.all([to.subscribe(run), witness.subscribe(run)])
  await from.mark(run, 'warm')
  await Promise.all([to.warmed(track, WARM_UP), witness.warmed(track, WARM_UP)])
  await from.unmark(track)
  const result = await use()
  await Promise.all([to.unsubscribe(track), witness.unsubscribe(track)])
  await from.unpublish(track)
  return result
}

/** Brings frames from one peer to the other at the run's rate, and says what came of it. */
export function carry(pair: Pair, run: Run): Promise<Outcome> {
  const { from, to, witness, server } = pair
  return open(pair, run, async () => {
    const before = server.droppedPackets(run.track)
    const overflows = { ours: ownOverflows(), server: server.overflows }
    const unsent = [to, witness].map(datagramsLostTo)
    const { refused } = await from.send(run)
    await from.mark(run, 'end')
    const [arrived, seen] = await Promise.all([to.received(run.track), witness.received(run.track)])
    await from.unmark(run.track)
    return judge(pair, run, { refused, arrived, seen, before, overflows, unsent })
  })
}

/** Brings frames from one peer to the other, each after the one before has arrived. */
export function carryEach(pair: Pair, run: Run): Promise<Received> {
  return open(pair, run, async () => {
    await sendEach(pair, run, 0, run.count)
    return pair.to.peek(run.track)
  })
}

/**
 * Sends frames of an open run from the number `first` on, each after the one before has arrived. None may be lost, except
 * that the server says that it dropped it, which it does when a receiver gets too little time of a busy machine: that one
 * is sent again.
 */
export async function sendEach(pair: Pair, run: Run, first: number, count: number): Promise<void> {
  for (let number = first; number < first + count; number++) {
    const arrived = pair.to.arrived(run.track, number + 1).then(() => true)
    for (let there = false; !there;) {
      const drop = nextDrop(pair, run.track)
      await pair.from.send({ ...run, first: number, count: 1 })
      there = await Promise.race([arrived, drop.promise])
      drop.stop()
    }
  }
}

interface Found {
  readonly refused: number
  readonly arrived: Received
  readonly seen: Received
  /** What the server had dropped before the run. */
  readonly before: ReadonlyMap<string, number>
  /** Datagrams that sockets had no room for before the run. */
  readonly overflows: { readonly ours: number; readonly server: number }
  /** Datagrams that had not come to the receiver and to the witness before the run. */
  readonly unsent: readonly number[]
}

/** Datagrams that the server may have left unsent in a run, one now and then: more would be lost by ours. */
const UNSENT_MOST = 3

/** Those of the server's that did not come to one of ours; what other SDKs miss they do not tell. */
function datagramsLostTo(peer: Peer): number {
  return peer instanceof OurPeer ? peer.datagramsLost : 0
}

function judge({ from, to, witness, receiver, server }: Pair, run: Run, found: Found): Outcome {
  const { arrived, seen } = found
  const after = server.droppedPackets(run.track)
  const serverDrops = (identity: string): number =>
    (after.get(identity) ?? 0) - (found.before.get(identity) ?? 0)
  const [forReceiver, forWitness] = [serverDrops(receiver), serverDrops('witness')]

  const witnessMissing = new Set(seen.missing)
  const byBoth = arrived.missing.filter((number) => witnessMissing.has(number)).length
  // Dropped for both by the server, as far as its log has it, or lost before it was read; the rest never came to it.
  const byServerForBoth = Math.min(byBoth, forReceiver, forWitness)
  const unread = Math.min(byBoth - byServerForBoth, server.overflows - found.overflows.server)
  const bySender = byBoth - byServerForBoth - unread
  const forReceiverOnly = arrived.missing.length - byBoth
  // Where a loss of ours happened: the witness and a receiver of ours live in this process.
  const unreadByUs = ownOverflows() - found.overflows.ours
  // Nothing is lost on 127.0.0.1 but in a socket: what the server encrypted and no socket of ours had it did not send.
  const [toReceiver, toWitness] = [to, witness].map((peer, index) =>
    Math.min(UNSENT_MOST, Math.max(0, datagramsLostTo(peer) - found.unsent[index]! - unreadByUs)),
  )
  const byServer = Math.min(forReceiverOnly, forReceiver - byServerForBoth + toReceiver!)
  const byReceiver = forReceiverOnly - byServer
  const byWitness = Math.max(0, seen.missing.length - byBoth - (forWitness - byServerForBoth) - toWitness!)

  const faults = [...wrong(to.kind, arrived), ...wrong('the witness', seen)]
  if (from instanceof OurPeer) {
    const { closed, dropped } = from.account(run.track)
    if (!closed) faults.push("our publisher's sums do not close")
    if (sum(dropped) + found.refused + bySender > 0) {
      const reasons = JSON.stringify(dropped)
      faults.push(`our publisher lost ${bySender} frames, refused ${found.refused}, dropped ${reasons}`)
    }
  }
  for (const [who, peer, lost] of [
    ['subscriber', to, byReceiver],
    ['witness', witness, byWitness],
  ] as const) {
    if (!(peer instanceof OurPeer)) continue
    const { closed, dropped } = peer.account(run.track)
    if (!closed) faults.push(`our ${who}'s sums do not close`)
    if (lost > 0) {
      const reasons = JSON.stringify(dropped)
      faults.push(
        `our ${who} lost ${lost} frames: dropped ${reasons}, ${unreadByUs} datagrams not read in time`,
      )
    }
  }
  return {
    from: from.kind,
    to: to.kind,
    size: run.size,
    rate: run.rate,
    sent: run.count,
    delivered: arrived.good,
    lostBySender: bySender,
    lostByServer: byServerForBoth + unread + byServer,
    lostByReceiver: byReceiver,
    faults,
  }
}

/** What no SDK may do to a frame. */
function wrong(who: string, { garbage, mistimed, duplicates }: Received): string[] {
  const counts = { 'with other bytes': garbage, 'with another timestamp': mistimed, twice: duplicates }
  return Object.entries(counts).flatMap(([what, count]) =>
    count > 0 ? [`${who} has ${count} frames ${what}`] : [],
  )
}

/** Resolves with `false` when the server says that it dropped another packet of the track for the receiver. */
function nextDrop({ server, receiver }: Pair, track: string): { promise: Promise<false>; stop: () => void } {
  const before = server.droppedPackets(track).get(receiver) ?? 0
  let stop = (): void => {}
  const promise = new Promise<false>((resolve) => {
    const watcher = watch(server.log, () => {
      if ((server.droppedPackets(track).get(receiver) ?? 0) === before) return
      watcher.close()
      resolve(false)
    })
    stop = () => watcher.close()
  })
  return { promise, stop }
}

/** Under which the two peers and the witness join. */
export const IDENTITIES = ['first', 'second', 'witness'] as const

/** How they join: the same for all, or keys for each. */
export interface RoomSpec extends Pick<JoinSpec, 'peerConnections'> {
  readonly keys: Keys | null | readonly [Keys | null, Keys | null, Keys | null]
}

let rooms = 0

/** Puts two peers and a witness into a room of their own while `use` runs; it gets the two directions. */
export async function inRoom(
  server: LivekitServer,
  [first, second]: readonly [Peer, Peer],
  { keys, ...options }: RoomSpec,
  use: (there: Pair, back: Pair) => Promise<void>,
): Promise<void> {
  const witness = new OurPeer()
  const room = `interop-${process.pid}-${++rooms}`
  const peers = [first, second, witness]
  try {
    for (const [index, peer] of peers.entries()) {
      const token = await server.token(room, IDENTITIES[index]!)
      await peer.join({
        url: server.url,
        token,
        keys: isEach(keys) ? keys[index]! : keys,
        ...options,
      })
    }
    await use(
      { from: first, to: second, receiver: IDENTITIES[1], witness, server },
      { from: second, to: first, receiver: IDENTITIES[0], witness, server },
    )
  } finally {
    await Promise.all(peers.map((peer) => peer.leave()))
  }
}

function isEach(keys: RoomSpec['keys']): keys is readonly [Keys | null, Keys | null, Keys | null] {
  return Array.isArray(keys)
}
