/** Connections that are over leave nothing behind. They run in a process of their own, so that its memory is theirs. */
import { expect, it } from 'vitest'
import { AudioFrame, AudioSource, LocalAudioTrack } from '../../index'
import { Child } from '../helpers/child'
import { Scene } from '../helpers/scene'
import { withServer } from '../helpers/with-server'

const ROUNDS = 200
/** Rounds with audio, which take half a second each. 200 is the long form. */
const AUDIO_ROUNDS = Number(process.env['AUDIO_LEAK_ROUNDS'] ?? 40)
/** Rounds before the measurement. In these, code is compiled, and pools and arenas reach their size. */
const WARM_UP = 200
/**
 * Rounds between two samples (`STEP`), and the number of samples whose minimum is the floor (`SAMPLES`). Resident
 * memory swings by some MB, but only a leak raises its floor.
 */
const STEP = 20
const SAMPLES = 5
/** Growth of resident memory that is no leak, bytes. A leak of 26 kB in each round would be more. */
const FLAT = 5 * 1024 * 1024

/** Fixes the size of V8's young generation. By default it grows twice, by 16 MB, whatever is in it. */
const flags = ['--expose-gc', '--max-semi-space-size=1']

const server = withServer()

interface Report {
  /** The floor of resident memory in bytes, at the end of the warm-up and at the end of the rounds after it. */
  readonly resident: readonly [number, number]
  readonly handles: unknown[]
  readonly threads: readonly [number, number]
}

/**
 * Runs `round`, the body of an async function, again and again. Sends a {@link Report} to the test when nothing is open
 * any more.
 */
const program = (round: string, warmUp: number, rounds: number) => `
  const { readFileSync } = require('node:fs')
  const status = (name) => Number(new RegExp('^' + name + ':\\\\s+(\\\\d+)', 'm').exec(readFileSync('/proc/self/status', 'utf8'))[1])
  const url = ${JSON.stringify(server.url)}
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
  const refusing = async (address, token, options) => {
    try { await datatrack.connect(address, token, options) } catch (error) { return error.reason }
    throw new Error('connected')
  }
  const round = async (number) => { ${round} }
  // Pipes do not count. They lead to the test: its channel, and stderr, which Node.js opens on first use.
  const open = () => process.getActiveResourcesInfo().filter((name) => name !== 'PipeWrap')
  const settle = async () => {
    // Closing handshakes and sockets take a moment. The timeout of the test is the limit.
    for (;;) {
      await wait(20)
      gc()
      if (open().length === 0 && datatrack.debug.handles().length === 0) break
    }
    return { resident: status('VmRSS') * 1024, threads: status('Threads') }
  }
  const floor = async (rounds) => {
    const samples = []
    for (let number = 0; number < rounds; number++) {
      await round(number)
      if ((number + 1) % ${STEP} === 0) samples.push(await settle())
    }
    const last = samples.slice(-${SAMPLES})
    return { resident: Math.min(...last.map(({ resident }) => resident)), threads: last.at(-1).threads }
  }
  const first = await floor(${warmUp})
  const last = await floor(${rounds})
  say({
    resident: [first.resident, last.resident],
    threads: [first.threads, last.threads],
    handles: datatrack.debug.handles(),
  })`

async function check(round: string, warmUp = WARM_UP, rounds = ROUNDS): Promise<void> {
  await Child.with(program(round, warmUp, rounds), { flags }, async (child) => {
    const { resident, handles, threads } = await child.next<Report>()
    expect(handles).toEqual([])
    expect(threads[1]).toBeLessThanOrEqual(threads[0])
    expect(resident[1] - resident[0]).toBeLessThan(FLAT)
    expect(await child.end()).toEqual({ code: 0, stderr: '' })
  })
}

it(
  `${ROUNDS} times connecting, publishing, subscribing and disconnecting leaves nothing behind`,
  () =>
    Scene.with(server, async (scene) => {
      const alice = await scene.join('alice')
      const local = await alice.localParticipant.publishDataTrack({ name: 'alices' })
      const timer = setInterval(() => local.tryPush(new Uint8Array(1000)), 5)
      try {
        await check(`
        const room = await datatrack.connect(url, ${JSON.stringify(await scene.token('bob'))})
        const track = await room.localParticipant.publishDataTrack({ name: 'bobs' })
        const stream = (await seen(room, 'alices')).subscribe()
        await stream.read()
        track.tryPush(new Uint8Array(1000))
        await room.disconnect()`)
      } finally {
        clearInterval(timer)
      }
    }),
  300_000,
)

it(
  `${AUDIO_ROUNDS} times connecting, publishing and hearing audio, and disconnecting leaves nothing behind`,
  () =>
    Scene.with(server, async (scene) => {
      const alice = await scene.join('alice')
      const source = new AudioSource(48_000, 1, 0)
      const track = LocalAudioTrack.createAudioTrack('alices', source)
      await alice.localParticipant.publishTrack(track)
      const frame = new AudioFrame(new Int16Array(960).fill(1000), 48_000, 1, 960)
      const timer = setInterval(() => void source.captureFrame(frame).catch(() => {}), 20)
      try {
        const round = `
        const source = new datatrack.AudioSource(48_000, 1)
        const track = datatrack.LocalAudioTrack.createAudioTrack('bobs', source)
        const room = new datatrack.Room()
        const subscribed = new Promise((resolve) => room.once('trackSubscribed', resolve))
        const connecting = room.connect(url, ${JSON.stringify(await scene.token('bob'))}, { autoSubscribe: true })
        const publishing = room.localParticipant.publishTrack(track)
        await Promise.all([connecting, publishing])
        await source.captureFrame(new datatrack.AudioFrame(new Int16Array(4800).fill(1000), 48_000, 1, 4800))
        for await (const frame of new datatrack.AudioStream(await subscribed)) if (frame.data.some(Boolean)) break
        await source.waitForPlayout()
        await room.disconnect()
        await track.close()`
        await check(round, AUDIO_ROUNDS, AUDIO_ROUNDS)
      } finally {
        clearInterval(timer)
        await track.close()
      }
    }),
  AUDIO_ROUNDS * 4000 + 60_000,
)

it(
  `${ROUNDS} failed connections leave nothing behind: nothing listens, a bad token, a silent server`,
  () =>
    Scene.with(server, async (scene) => {
      const [good, bad] = [await scene.token('bob'), await scene.token('bob', { forged: true })]
      await check(`
      const [good, bad] = ${JSON.stringify([good, bad])}
      const reason =
        number % 3 === 0 ? await refusing('ws://127.0.0.1:9', good)
        : number % 3 === 1 ? await refusing(url, bad)
        : await silently((silent) => refusing(silent, good, { connectTimeout: 20 }))
      if (reason !== ['serverUnreachable', 'notAllowed', 'timeout'][number % 3]) throw new Error(reason)
      async function silently(use) {
        const sockets = new Set()
        const other = require('node:net').createServer((socket) => sockets.add(socket.on('error', () => {})))
        await new Promise((resolve) => other.listen(0, '127.0.0.1', resolve))
        try {
          return await use('ws://127.0.0.1:' + other.address().port)
        } finally {
          for (const socket of sockets) socket.destroy()
          await new Promise((resolve) => other.close(resolve))
        }
      }`)
    }),
  300_000,
)
