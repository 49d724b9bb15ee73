/** Files of all kinds that are sent: what ends is sent whole, and what does not is refused. */
import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  mkdtempSync,
  openAsBlob,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { open, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openFile } from '../../src/data-stream/file-source'
import { receiveBytes } from '../helpers/data-streams'
import { rejection, until, withPair } from '../helpers/rooms'
import type { Pair } from '../helpers/rooms'
import { pattern, same } from '../helpers/scene'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'file-source-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const unix = process.platform !== 'win32'
const linux = process.platform === 'linux'

let files = 0
const path = (): string => join(folder, `file-${++files}`)

function file(content: Uint8Array): string {
  const name = path()
  writeFileSync(name, content)
  return name
}

function pipe(): string {
  const name = path()
  execFileSync('mkfifo', [name])
  return name
}

/** What bob has of a file that alice sends, and what she and he know of its size. */
async function carried({ alice, bob }: Pair, source: string) {
  const shares: number[] = []
  const arriving = receiveBytes(bob)
  const sent = await alice.localParticipant.sendFile(source, { onProgress: (share) => shares.push(share) })
  const { bytes, info } = await arriving
  expect(info).toEqual(sent)
  expect(shares.at(-1)).toBe(1)
  return { bytes, size: info.size }
}

describe.runIf(unix)('a named pipe', () => {
  it('is sent completely, even if its writer opens it late', () =>
    withPair(async (pair) => {
      for (const size of [0, 1, 10_000, 256 * 1024, 1_000_000]) {
        const content = pattern(size)
        const name = pipe()
        const carrying = carried(pair, name)
        await writeFile(name, content)
        const { bytes, size: told } = await carrying
        expect(same(bytes, content)).toBe(true)
        expect(told).toBe(size > 256 * 1024 ? undefined : size)
      }
    }))

  it('without a writer is abandoned when the signal aborts, and occupies no thread for files', () =>
    withPair(async ({ alice }) => {
      const stop = new AbortController()
      const { signal } = stop
      const waiting = Array.from({ length: 8 }, () =>
        rejection(alice.localParticipant.sendFile(pipe(), { signal })),
      )
      await alice.localParticipant.sendFile(file(pattern(10)))
      stop.abort(new Error('enough'))
      for (const error of await Promise.all(waiting)) expect(error).toBe(signal.reason)
    }))

  it('is abandoned when the signal aborts in the middle', () =>
    withPair(async ({ alice, bob }) => {
      const stop = new AbortController()
      const name = pipe()
      const sending = rejection(
        alice.localParticipant.sendFile(name, { signal: stop.signal, compress: false }),
      )
      const reading = rejection(receiveBytes(bob))
      const writer = await open(name, 'w')
      await writer.write(pattern(400_000))
      await until(() => bob.dataStreamStats().open === 1)
      stop.abort(new Error('enough'))
      expect((await sending).message).toBe('enough')
      expect(await reading).toMatchObject({ reason: 'abnormalEnd' })
      await writer.close()
    }))
})

describe.runIf(linux)('a file in /proc or /sys, whose reported size is wrong', () => {
  it('is sent completely', () =>
    withPair(async (pair) => {
      for (const name of ['/proc/version', '/proc/cpuinfo', '/sys/kernel/mm/transparent_hugepage/enabled']) {
        const content = readFileSync(name)
        const { bytes, size } = await carried(pair, name)
        expect(bytes.length).toBeGreaterThan(0)
        // Some of it changes between two looks.
        if (name === '/proc/version') expect(same(bytes, content)).toBe(true)
        expect(size).toBe(bytes.length)
      }
    }))
})

describe.runIf(unix)('a socket or a device that never ends', () => {
  it('is refused, and nothing is sent', () =>
    withPair(async ({ alice, bob }) => {
      const socket = join(folder, 'socket')
      const server = createServer().listen(socket)
      await new Promise((resolve) => server.once('listening', resolve))
      for (const name of ['/dev/zero', '/dev/null', socket]) {
        const refused = await rejection(alice.localParticipant.sendFile(name))
        expect(refused).toMatchObject({ name: 'DataStreamError', reason: 'unreadable' })
        const attached = rejection(alice.localParticipant.sendText('text', { attachments: [name] }))
        expect(await attached).toMatchObject({ reason: 'unreadable' })
      }
      server.close()
      expect(bob.dataStreamStats().received).toBe(0)
    }))
})

describe('a file that changes in the meantime', () => {
  const all = async (name: string, change: () => void): Promise<unknown> => {
    const opened = await openFile('source', name)
    change()
    try {
      for await (const piece of opened.pieces(undefined)) expect(piece.length).toBeGreaterThan(0)
      return 'whole'
    } finally {
      await opened.close()
    }
  }

  it.each([0, 1, 1000, 240_000, 500_000])('fails if it changes before it is read, size: %s', async (size) => {
    const name = file(pattern(size))
    expect(await all(name, () => undefined)).toBe('whole')
    expect(await rejection(all(name, () => appendFileSync(name, 'x')))).toMatchObject({
      name: 'DataStreamError',
      reason: 'lengthExceeded',
    })
    expect(await rejection(all(name, () => truncateSync(name, Math.floor(size / 2))))).toMatchObject({
      name: 'DataStreamError',
      reason: 'incomplete',
    })
  })

  it.each(['longer', 'shorter'] as const)('fails at both ends if it changes while it is sent: %s', (how) =>
    withPair(async ({ alice, bob }) => {
      const name = file(pattern(2_000_000))
      const reading = rejection(receiveBytes(bob))
      const onProgress = (): void => (how === 'longer' ? appendFileSync(name, 'x') : truncateSync(name, 1))
      const sending = rejection(alice.localParticipant.sendFile(name, { compress: false, onProgress }))
      expect(await sending).toMatchObject({ reason: how === 'longer' ? 'lengthExceeded' : 'incomplete' })
      expect(await reading).toMatchObject({ reason: 'abnormalEnd' })
    }),
  )

  it('fails as a Blob, too', () =>
    withPair(async ({ alice }) => {
      const name = file(pattern(1000))
      const blob = await openAsBlob(name)
      appendFileSync(name, 'x')
      expect(await rejection(alice.localParticipant.sendFile(blob))).toMatchObject({
        name: 'DataStreamError',
        reason: 'incomplete',
      })
    }))
})
