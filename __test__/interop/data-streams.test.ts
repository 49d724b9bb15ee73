import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ExternalE2EEKeyProvider, RoomEvent } from '../../index'
import type { Room } from '../../index'
import { receiveBytes, receiveText } from '../helpers/data-streams'
import { LivekitServer } from '../helpers/livekit-server'
import { installPython, python } from '../helpers/python'
import { event, Scene } from '../helpers/scene'

let server: LivekitServer
beforeAll(async () => {
  installPython()
  server = await LivekitServer.start()
})
afterAll(() => server.stop())

const sha256 = (content: Uint8Array | string) => createHash('sha256').update(content).digest('hex')

/** Runs `use` while Python's echo is in the room. */
async function withEcho(
  scene: Scene,
  room: Room,
  passphrase: string | null,
  use: () => Promise<void>,
): Promise<void> {
  const joined = event(room, RoomEvent.ParticipantConnected)
  const child = spawn(python, ['__test__/interop/streams.py'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  try {
    const token = await scene.token('python')
    child.stdin.write(`${JSON.stringify({ url: server.url, token, passphrase })}\n`)
    const [line] = await Promise.race([once(createInterface(child.stdout), 'line'), closed])
    if (line !== 'connected') throw new Error('the Python program ended early')
    await joined
    await use()
    child.stdin.end()
    await closed
  } finally {
    kill()
    process.removeListener('exit', kill)
  }
}

// Its speed is Python's.
describe.each([null, 'correct horse'])(
  "with LiveKit's Python SDK, passphrase: %s",
  { timeout: 120_000 },
  (passphrase) => {
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
          await withEcho(scene, room, passphrase, async () => {
            for (const size of [0, 1, 15_000, 15_001, 1_000_000]) {
              for (const content of [randomBytes(size), Buffer.alloc(size, 'compressible ')]) {
                for (const how of ['stream', 'file']) {
                  const arriving = receiveBytes(room, 'echoed')
                  const attributes = { how, mark: 'ä' }
                  await room.localParticipant.sendBytes(content, { topic: 'echo', name: 'x.bin', attributes })
                  const { bytes, info } = await arriving
                  expect(info.attributes).toEqual({
                    ...attributes,
                    sha256: sha256(content),
                    size: String(size),
                  })
                  expect(sha256(bytes)).toBe(sha256(content))
                  expect([info.name, info.size, info.encrypted]).toEqual(['x.bin', size, passphrase !== null])
                }
              }
              const text =
                size === 0
                  ? ''
                  : randomBytes(size)
                      .toString('base64')
                      .slice(0, size - 1) + 'ä三😀'
              const arriving = receiveText(room, 'echoed')
              await room.localParticipant.sendText(text, { topic: 'echo', attributes: { how: 'text' } })
              const { text: back, info } = await arriving
              expect(info.attributes).toMatchObject({ how: 'text', sha256: sha256(text) })
              expect(back === text).toBe(true)
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
