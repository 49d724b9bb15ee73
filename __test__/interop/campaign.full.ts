/** `npm run interop:full`: each pair, direction and size, plain and encrypted, in numbers that show losses. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { installPython } from '../helpers/python'
import { withServer } from '../helpers/with-server'
import { carry, inRoom } from './carry'
import type { Outcome, Pair } from './carry'
import { ChromiumPeer } from './peers/chromium'
import { OurPeer } from './peers/ours'
import type { PeerKind } from './peers/peer'
import { PythonPeer } from './peers/python'
import { passphrase } from './scenarios'
import type { OtherPeer } from './scenarios'

/** Bytes, and how many frames of them. */
const sizes = [
  [0, 1000],
  [1, 1000],
  [256, 1000],
  [15_900, 1000],
  [16_100, 1000],
  [200_000, 50],
  [1_000_000, 10],
] as const

/** Frames a second for each size: what the slower of the two has been seen to hold. */
const rates: Readonly<Record<string, readonly number[]>> = {
  'ours → ours': [500, 500, 500, 100, 100, 10, 2],
  'ours → chromium': [400, 400, 400, 100, 50, 5, 1],
  'chromium → ours': [400, 400, 400, 100, 50, 5, 1],
  'ours → python': [200, 200, 200, 50, 25, 5, 0.5],
  'python → ours': [100, 100, 100, 25, 20, 4, 0.5],
}

const peers: Readonly<Record<PeerKind, () => Promise<OtherPeer>>> = {
  ours: async () => Object.assign(new OurPeer(), { close: async () => {} }),
  chromium: () => ChromiumPeer.start(),
  python: async () => {
    installPython()
    return new PythonPeer()
  },
}

/** What the script found on this machine; all by default. */
const wanted = process.env['INTEROP_PEERS']?.split(',') ?? Object.keys(peers)
const kinds = (Object.keys(peers) as PeerKind[]).filter((kind) => wanted.includes(kind))

const rows = new Map<string, Outcome[]>()
const server = withServer()

afterAll(async () => {
  const table = tableOf(rows)
  mkdirSync('.cache', { recursive: true })
  writeFileSync('.cache/interop.md', table)
  console.log(`\n${table}`)
})

describe.each(kinds)('ours and %s', (kind) => {
  const us = new OurPeer()
  let other: OtherPeer
  beforeAll(async () => {
    other = await peers[kind]()
  }, 300_000)
  afterAll(() => other.close())

  it.each([
    ['plain', null],
    ['encrypted', passphrase('correct horse')],
  ] as const)('%s: no frame of ours is lost, and none is changed', async (encryption, keys) => {
    await inRoom(server, [us, other], { keys }, async (there, back) => {
      const faults = await allSizes(there, encryption)
      // The other direction of the same SDK is the same.
      if (kind !== 'ours') faults.push(...(await allSizes(back, encryption)))
      expect(faults).toEqual([])
    })
  })
})

/** Runs all sizes in one direction, and returns what must not be. */
async function allSizes(pair: Pair, encryption: string): Promise<string[]> {
  const route = `${pair.from.kind} → ${pair.to.kind}`
  const outcomes: Outcome[] = []
  rows.set(`${route}, ${encryption}`, outcomes)
  for (const [index, [size, count]] of sizes.entries()) {
    const rate = rates[route]![index]!
    const outcome = await carry(pair, { track: `${route} ${size}`, size, count, rate })
    outcomes.push(outcome)
    console.log(`${route}, ${encryption}, ${size} B at ${rate}/s: ${cell(outcome)}`)
  }
  return outcomes.flatMap(({ size, faults }) => faults.map((fault) => `${route}, ${size} B: ${fault}`))
}

/** Delivered of sent, and who lost the rest. */
function cell({ sent, delivered, lostBySender, lostByServer, lostByReceiver, faults }: Outcome): string {
  const lost = Object.entries({ sender: lostBySender, server: lostByServer, receiver: lostByReceiver })
    .filter(([, count]) => count > 0)
    .map(([who, count]) => `, ${who} ${count}`)
  return `${delivered}/${sent}${lost.join('')}${faults.length > 0 ? ` (!) ${faults.join('; ')}` : ''}`
}

function tableOf(all: ReadonlyMap<string, readonly Outcome[]>): string {
  const head = ['', ...sizes.map(([size]) => `${size.toLocaleString('en')} B`)]
  const body = [...all].map(([route, outcomes]) => [route, ...outcomes.map(cell)])
  const lines = [head, head.map(() => '---'), ...body]
  const table = lines.map((cells) => `| ${cells.join(' | ')} |\n`).join('')
  const routes = Object.entries(rates).map(([route, list]) => `${route} ${list.join(', ')}`)
  return `${table}\nFrames a second, for each size: ${routes.join('; ')}.\n`
}
