/** `npm run interop:full`: calls, data streams and data packets with each other SDK, in both directions, in the sizes that matter. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DataStreamError, setLogLevel } from '../../index'
import type { Room } from '../../index'
import { speakVersion } from '../helpers/rpc-rooms'
import { withServer } from '../helpers/with-server'
import { sdks } from './peers/reliable-peer'
import type { PeerSdk, ReliablePeer } from './peers/reliable-peer'
import * as reliable from './reliable'
import { LIMIT, withPeer } from './reliable'

const CALL_SIZES = [0, LIMIT, LIMIT + 1, 1_000_000]
const STREAM_SIZES = [0, 1, 15_000, 15_001, 1_000_000, 50_000_000]
const RELIABLE_SIZES = [0, 1, 1000, 15_000, 60_000]
const LOSSY_SIZES = [1, 1000, 15_000]
const CONCURRENT = 1000

/** ms that one thing may take; what takes longer the peer cannot do in reasonable time. */
const BOUND = 120_000

/** What a peer cannot do, by row and column: anything else that fails is a fault. */
const cannot: readonly (readonly [row: RegExp, column: RegExp, what: string])[] = [
  [/^python 1\.0.* → ours/, /at once/, 'misses acknowledgements that come at once, and gives up'],
]

/** What the script found on this machine; all by default. */
const wanted = process.env['INTEROP_PEERS']?.split(',') ?? ['python', 'chromium', 'rtc-node']
const peers = Object.values<PeerSdk>(sdks).filter(({ name }) => wanted.some((kind) => name.startsWith(kind)))

type Table = Map<string, Map<string, string>>
const tables: Readonly<Record<'Calls' | 'Data streams' | 'Data packets', Table>> = {
  Calls: new Map(),
  'Data streams': new Map(),
  'Data packets': new Map(),
}
const faults: string[] = []
const server = withServer()

beforeAll(() => {
  setLogLevel('silent')
})
afterAll(async () => {
  const text = Object.entries(tables)
    .map(([title, table]) => `## ${title}\n\n${tableOf(table)}`)
    .join('\n')
  mkdirSync('.cache', { recursive: true })
  writeFileSync('.cache/interop-reliable.md', text)
  console.log(`\n${text}`)
})

const cases = peers.flatMap((sdk) =>
  (sdk.old ? [null] : [null, 'correct horse']).map((passphrase) => ({ sdk, name: sdk.name, passphrase })),
)

describe.each(cases)('ours and $name, passphrase: $passphrase', ({ sdk, passphrase }) => {
  beforeAll(() => sdk.install(), 300_000)

  it('everything arrives unchanged, except for what the peer is known not to support', async () => {
    faults.length = 0
    await withPeer(server, sdk, passphrase, async (room, peer) => {
      const encryption = passphrase === null ? 'plain' : 'encrypted'
      await streams(room, peer, sdk, encryption)
      await packets(room, peer, sdk, encryption)
      await calls(room, peer, sdk, encryption)
    })
    expect(faults).toEqual([])
  })
})

/** Does one thing, and notes what came of it. `peer`: whose own losses, if there are any, explain that something is missing. */
async function cell(
  table: Table,
  row: string,
  column: string,
  use: () => Promise<void>,
  peer?: ReliablePeer,
): Promise<void> {
  const cells = table.get(row) ?? new Map<string, string>()
  table.set(row, cells)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done in ${BOUND / 1000} s`)), BOUND)
  })
  const lostBefore = (await peer?.lost()) ?? 0
  const begun = performance.now()
  let result = 'ok'
  try {
    await Promise.race([use(), late])
  } catch (error) {
    const missing = error instanceof DataStreamError && error.reason === 'incomplete'
    const lost = missing ? ((await peer?.lost()) ?? 0) - lostBefore : 0
    const known =
      lost > 0
        ? `${lost.toLocaleString('en')} packets dropped by the sender itself`
        : cannot.find(([inRow, inColumn]) => inRow.test(row) && inColumn.test(column))?.[2]
    result = known ?? `(!) ${(error as Error).message.split('\n')[0]}`
    if (known === undefined) faults.push(`${row}, ${column}: ${String(error)}`)
  }
  clearTimeout(timer)
  cells.set(column, result)
  console.log(`${row}, ${column}: ${result}, ${((performance.now() - begun) / 1000).toFixed(1)} s`)
}

async function streams(
  room: Room,
  peer: ReliablePeer,
  { name, writesTexts }: PeerSdk,
  encryption: string,
): Promise<void> {
  const table = tables['Data streams']
  const theirTexts = writesTexts ? [false, true] : [false]
  for (const [row, use, sender] of [
    [`ours → ${name}, bytes`, (size: number) => reliable.ourBytes(room, size)],
    [`ours → ${name}, texts`, (size: number) => reliable.ourText(room, size)],
    [`${name} → ours, bytes`, (size: number) => reliable.theirBytes(room, peer, size), peer],
    ...theirTexts.map(
      (piecewise) =>
        [
          `${name} → ours, texts${piecewise ? ' in pieces' : ''}`,
          (size: number) => reliable.theirText(room, peer, size, piecewise),
          peer,
        ] as const,
    ),
  ] as const) {
    for (const size of STREAM_SIZES) {
      await cell(table, `${row}, ${encryption}`, bytes(size), () => use(size), sender)
    }
  }
}

async function packets(room: Room, peer: ReliablePeer, sdk: PeerSdk, encryption: string): Promise<void> {
  const table = tables['Data packets']
  const lossy = encryption === 'plain' ? 'lossy' : sdk.takesSealedLossyFor
  for (const [isReliable, sizes] of [
    [true, RELIABLE_SIZES],
    [false, LOSSY_SIZES],
  ] as const) {
    for (const size of sizes) {
      const column = `${isReliable ? 'reliable' : 'lossy'}, ${bytes(size)}`
      await cell(table, `ours → ${sdk.name}, ${encryption}`, column, () =>
        reliable.ourPacket(room, size, isReliable, lossy),
      )
      await cell(table, `${sdk.name} → ours, ${encryption}`, column, () =>
        reliable.theirPacket(room, peer, size, isReliable),
      )
    }
  }
}

async function calls(
  room: Room,
  peer: ReliablePeer,
  { name, old }: PeerSdk,
  encryption: string,
): Promise<void> {
  const table = tables.Calls
  const atOnce = `${CONCURRENT.toLocaleString('en')} at once`
  const theirs = `${name} → ours, version ${old ? 1 : 2}, ${encryption}`
  for (const size of CALL_SIZES) {
    await cell(table, theirs, bytes(size), () => reliable.theirCall(peer, size, old))
  }
  await cell(table, theirs, 'errors', () => reliable.theirErrors(peer, old))
  await cell(table, theirs, 'timeouts', () => reliable.theirTimeout(peer, old))
  await cell(table, theirs, atOnce, () => reliable.theirConcurrentCalls(peer, CONCURRENT))
  for (const version of old ? ([1] as const) : ([2, 1] as const)) {
    speakVersion(version, room)
    const ours = `ours → ${name}, version ${version}, ${encryption}`
    for (const size of CALL_SIZES) {
      await cell(table, ours, bytes(size), () => reliable.ourCall(room, size, version === 1))
    }
    await cell(table, ours, 'errors', () => reliable.ourErrors(room, old))
    await cell(table, ours, 'timeouts', () => reliable.ourTimeouts(room, peer))
    await cell(table, ours, atOnce, () => reliable.ourConcurrentCalls(room, CONCURRENT))
  }
}

function bytes(size: number): string {
  return `${size.toLocaleString('en')} B`
}

function tableOf(table: Table): string {
  const columns = [...(table.values().next().value ?? new Map<string, string>()).keys()]
  const head = ['', ...columns]
  const body = [...table].map(([row, cells]) => [row, ...columns.map((column) => cells.get(column) ?? '')])
  return [head, head.map(() => '---'), ...body].map((cells) => `| ${cells.join(' | ')} |\n`).join('')
}
