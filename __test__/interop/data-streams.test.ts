import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ExternalE2EEKeyProvider, RoomEvent } from '../../index'
import type { Room } from '../../index'
import { receiveBytes, receiveText } from '../helpers/data-streams'
import { LivekitServer } from '../helpers/livekit-server'
import { installPython, python } from '../helpers/python'
import { event, Scene } from '../helpers/scene'
import { ARGUMENTS } from './peers/chromium'

let server: LivekitServer
beforeAll(async () => {
  installPython()
  server = await LivekitServer.start()
})
afterAll(() => server.stop())

const sha256 = (content: Uint8Array | string) => createHash('sha256').update(content).digest('hex')

/** Somebody who sends back what comes, in the room while `use` runs. */
type Echo = (access: Access, use: () => Promise<void>) => Promise<void>

interface Access {
  readonly token: string
  readonly passphrase: string | null
}

/** LiveKit's Python SDK. */
async function withPython(access: Access, use: () => Promise<void>): Promise<void> {
  const child = spawn(python, ['__test__/interop/streams.py'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  try {
    child.stdin.write(`${JSON.stringify({ url: server.url, ...access })}\n`)
    const [line] = await Promise.race([once(createInterface(child.stdout), 'line'), closed])
    if (line !== 'connected') throw new Error('the Python program ended early')
    await use()
    child.stdin.end()
    await closed
  } finally {
    kill()
    process.removeListener('exit', kill)
  }
}

const PAGE = `<!doctype html><title>streams</title><link rel="icon" href="data:,">
<script src="/livekit-client.umd.js"></script><script src="/streams-page.js"></script>`

/** livekit-client in headless Chromium. */
async function withChromium(access: Access, use: () => Promise<void>): Promise<void> {
  const pages = createServer(({ url = '/' }, response) => {
    const folder = url === '/streams-page.js' ? '__test__/interop/peers' : 'node_modules/livekit-client/dist'
    response.writeHead(200, { 'content-type': url === '/' ? 'text/html' : 'text/javascript' })
    response.end(url === '/' ? PAGE : readFileSync(join(folder, url)))
  })
  pages.listen(0, '127.0.0.1')
  await once(pages, 'listening')
  const executablePath = process.env['CHROMIUM_BIN'] ?? '/usr/bin/chromium'
  const browser = await chromium.launch({ executablePath, args: ARGUMENTS })
  try {
    const page = await browser.newPage()
    page.on('pageerror', (error) => console.error(`In the page: ${error.stack ?? error.message}`))
    await page.goto(`http://127.0.0.1:${(pages.address() as AddressInfo).port}/`)
    await page.evaluate(
      (given) => (globalThis as unknown as { join(argument: unknown): Promise<void> }).join(given),
      { url: server.url, ...access },
    )
    await use()
    await page.evaluate(() => (globalThis as unknown as { leave(): Promise<void> }).leave())
  } finally {
    await browser.close()
    pages.close()
  }
}

const peers: readonly (readonly [string, Echo, readonly string[]])[] = [
  ["LiveKit's Python SDK", withPython, ['stream', 'file']],
  ['livekit-client in Chromium', withChromium, ['stream', 'bytes']],
]
const cases = peers.flatMap(([name, echo, hows]) =>
  [null, 'correct horse'].map((passphrase) => ({ name, echo, hows, passphrase })),
)

// Their speed is the peers'.
describe.each(cases)(
  'with $name, passphrase: $passphrase',
  { timeout: 120_000 },
  ({ echo, hows, passphrase }) => {
    it.each(['single', 'dual'] as const)(
      'data streams go there and come back as they were, peer connections: %s',
      (peerConnections) =>
        Scene.with(server, async (scene) => {
          const keyProvider = new ExternalE2EEKeyProvider()
          if (passphrase !== null) await keyProvider.setKey(passphrase)
          const room = await scene.join('node', {
            connect: { peerConnections },
            ...(passphrase !== null && { room: { encryption: { keyProvider } } }),
          })
          const joined = event(room, RoomEvent.ParticipantConnected)
          await echo({ token: await scene.token('echo'), passphrase }, async () => {
            await joined
            for (const size of [0, 1, 15_000, 15_001, 1_000_000]) {
              for (const content of [randomBytes(size), Buffer.alloc(size, 'compressible ')]) {
                for (const how of hows) await bytesThereAndBack(room, content, how, passphrase !== null)
              }
              await textThereAndBack(room, randomBytes(size).toString('base64').slice(0, size))
              await textThereAndBack(room, 'ä三😀'.repeat(size / 9))
            }
            const pieces = ['one ', 'zwölf ', '三', '😀'.repeat(10_000)]
            const arriving = receiveText(room, 'echoed')
            const writer = await room.localParticipant.streamText({ topic: 'echo' })
            for (const piece of pieces) await writer.write(piece)
            await writer.close()
            expect((await arriving).text === pieces.join('')).toBe(true)
          })
        }),
    )
  },
)

async function bytesThereAndBack(
  room: Room,
  content: Uint8Array,
  how: string,
  encrypted: boolean,
): Promise<void> {
  const arriving = receiveBytes(room, 'echoed')
  const attributes = { how, mark: 'ä' }
  await room.localParticipant.sendBytes(content, { topic: 'echo', name: 'x.bin', attributes })
  const { bytes, info } = await arriving
  const size = content.length
  expect(info.attributes).toMatchObject({ ...attributes, sha256: sha256(content) })
  // livekit-client takes a size of 0 for none.
  expect(['undefined', String(size)].slice(size === 0 ? 0 : 1)).toContain(info.attributes['size'])
  expect(sha256(bytes)).toBe(sha256(content))
  expect([info.name, info.size ?? 0, info.encrypted]).toEqual(['x.bin', size, encrypted])
}

async function textThereAndBack(room: Room, text: string): Promise<void> {
  const arriving = receiveText(room, 'echoed')
  await room.localParticipant.sendText(text, { topic: 'echo', attributes: { mark: 'ä' } })
  const { text: back, info } = await arriving
  expect(info.attributes).toMatchObject({ mark: 'ä', sha256: sha256(text) })
  expect(back === text).toBe(true)
}
