import { createHash, randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ExternalE2EEKeyProvider, RoomEvent } from '../../index'
import { nextBytes, nextText, receiveBytes, receiveText } from '../helpers/data-streams'
import { rejection } from '../helpers/rooms'
import { Scene, event, pattern, same } from '../helpers/scene'
import { TcpProxy } from '../helpers/tcp-proxy'
import { withServer } from '../helpers/with-server'

const server = withServer()
let proxy: TcpProxy
beforeEach(async () => {
  proxy = await TcpProxy.start(server.port)
})
afterEach(() => proxy.close())

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

describe.each(['single', 'dual'] as const)('data streams, peer connections: %s', (peerConnections) => {
  const connect = { peerConnections }

  it('arrive unchanged with their info, short and long', () =>
    Scene.with(server, async (scene) => {
      const alice = await scene.join('alice', { connect })
      const bob = await scene.join('bob', { connect })
      const known =
        alice.remoteParticipants.get('bob') ?? (await event(alice, RoomEvent.ParticipantConnected))[0]
      expect([known.clientProtocol, known.capabilities]).toEqual([2, [2]])
      for (const size of [0, 1, 14_000, 15_000, 15_001, 1_000_000]) {
        for (const content of [pattern(size), new Uint8Array(size).fill(7)]) {
          const arriving = receiveBytes(bob, 'files')
          const options = { topic: 'files', name: 'x.bin', attributes: { a: 'b' } }
          const sent = await alice.localParticipant.sendBytes(content, options)
          const { bytes, info } = await arriving
          expect(same(bytes, content)).toBe(true)
          expect(info).toEqual(sent)
        }
        const text = 'ä三😀'.repeat(size / 9)
        const arriving = receiveText(bob, 'chat')
        await alice.localParticipant.sendText(text, { topic: 'chat' })
        expect((await arriving).text === text).toBe(true)
      }
    }))

  it('of 10 MB arrive unchanged, four at a time', { timeout: 120_000 }, () =>
    Scene.with(server, async (scene) => {
      const alice = await scene.join('alice', { connect })
      const bob = await scene.join('bob', { connect })
      const contents = Array.from({ length: 4 }, () => randomBytes(10_000_000))
      const arrived = new Map<string, string>()
      const all = new Promise<void>((resolve, reject) => {
        bob.registerByteStreamHandler('', (reader) => {
          reader.bytes().then((bytes) => {
            arrived.set(reader.info.name, sha256(bytes))
            if (arrived.size === contents.length) resolve()
          }, reject)
        })
      })
      const sending = contents.map((content, index) =>
        alice.localParticipant.sendBytes(content, { name: String(index) }),
      )
      await Promise.all([...sending, all])
      expect(arrived).toEqual(new Map(contents.map((content, index) => [String(index), sha256(content)])))
    }),
  )

  it('arrive with end-to-end encryption', () =>
    Scene.with(server, async (scene) => {
      const encrypted = async () => {
        const keyProvider = new ExternalE2EEKeyProvider()
        await keyProvider.setKey('correct horse')
        return { connect, room: { encryption: { keyProvider } } }
      }
      const alice = await scene.join('alice', await encrypted())
      const bob = await scene.join('bob', await encrypted())
      for (const size of [10, 200_000]) {
        const arriving = receiveBytes(bob)
        const sent = await alice.localParticipant.sendBytes(pattern(size))
        const { bytes, info } = await arriving
        expect(same(bytes, pattern(size))).toBe(true)
        expect([sent.encrypted, info.encrypted]).toEqual([true, true])
      }
    }))

  it.each(['alice', 'bob'])('go on when the connection of %s is resumed', (who) =>
    Scene.with(server, async (scene) => {
      const via = (identity: string) => (identity === who ? { url: proxy.url } : {})
      const alice = await scene.join('alice', { connect, ...via('alice') })
      const bob = await scene.join('bob', { connect, ...via('bob') })
      const room = who === 'alice' ? alice : bob
      const opened = nextBytes(bob)
      const content = randomBytes(3_000_000)
      const writer = await alice.localParticipant.streamBytes({ totalSize: content.length })
      const { reader } = await opened
      const reading = reader.bytes()
      for (let part = 0; part < 3; part++) {
        const resumed = event(room, RoomEvent.Reconnected)
        const writing = writer.write(content.subarray(part * 1_000_000, (part + 1) * 1_000_000))
        proxy.cut()
        await Promise.all([writing, resumed])
      }
      await writer.close()
      expect(sha256(await reading)).toBe(sha256(content))
    }),
  )

  it('fail with a typed error when their sender leaves', () =>
    Scene.with(server, async (scene) => {
      const alice = await scene.join('alice', { connect })
      const bob = await scene.join('bob', { connect })
      const opened = nextText(bob)
      const writer = await alice.localParticipant.streamText()
      await writer.write('half')
      const { reader } = await opened
      const reading = rejection(reader.readAll())
      await alice.disconnect()
      expect(await reading).toMatchObject({ name: 'DataStreamError', reason: 'abnormalEnd' })
    }))
})

describe('data streams', () => {
  it('fail with a typed error at both ends when the connection of their sender is rebuilt', () =>
    Scene.with(server, async (scene) => {
      const connect = { peerConnections: 'dual' as const, connectTimeout: 5000 }
      const alice = await scene.join('alice', { connect, url: proxy.url })
      const bob = await scene.join('bob')
      const opened = nextBytes(bob)
      const writer = await alice.localParticipant.streamBytes()
      await writer.write(pattern(100_000))
      const reading = rejection((await opened).reader.readAll())
      const rebuilt = event(alice, RoomEvent.Reconnected)
      proxy.forgetSessions(true)
      proxy.cut()
      await rebuilt
      const typed = { name: 'DataStreamError', reason: 'connectionLost' }
      expect(await rejection(writer.write(pattern(1)))).toMatchObject(typed)
      expect(await reading).toMatchObject({
        ...typed,
        reason: expect.stringMatching(/connectionLost|abnormalEnd/),
      })
      const arriving = receiveText(bob)
      await alice.localParticipant.sendText('again')
      expect((await arriving).text).toBe('again')
    }))
})
