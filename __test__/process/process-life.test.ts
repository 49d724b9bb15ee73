/** How processes and worker threads that use the package end. */
import { cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { built, prelude, runProgram } from '../helpers/programs'

/** Ended by itself, or by `process.exit(0)`, and said nothing but this. */
const quiet = (stdout = '') => ({ code: 0, signal: null, stdout, stderr: '' })

describe.concurrent('a program that has nothing more to do exits by itself', () => {
  it.each<[string, string]>([
    ['that never used the addon', 'datatrack.now()'],
    ['that closed its loopback', 'new datatrack.Loopback().close()'],
    ['that forgot an empty loopback', 'globalThis.sfu = new datatrack.Loopback()'],
    ['that closed its loopback after traffic', 'const { sfu } = await traffic(); sfu.close()'],
    [
      'whose rooms are disconnected',
      'const { alice, bob } = await traffic(); await alice.disconnect(); await bob.disconnect()',
    ],
    [
      'whose connected rooms are unreferenced, while it waits for frames, tracks and publications',
      `const { alice, bob, local, stream } = await traffic()
      alice.unref(); bob.unref()
      stream.read()
      bob.dataTracks({ name: 'never' }).next()
      bob.remoteParticipants.get('alice').dataTracks.getDeferred('never')
      alice.localParticipant.publishDataTrack({ name: 'another' })
      local.tryPush(new Uint8Array(1))
      globalThis.kept = [alice, bob, local, stream]`,
    ],
    [
      'whose room was unreferenced before it was connected',
      `const sfu = new datatrack.Loopback()
      globalThis.kept = sfu.join('alice', { room: new datatrack.Room().unref() })`,
    ],
    [
      'whose unreferenced room was disconnected and connected again',
      `const sfu = new datatrack.Loopback()
      const room = sfu.join('alice').unref()
      await room.disconnect()
      globalThis.kept = sfu.join('alice', { room })`,
    ],
    [
      'that never closed its managers',
      `const local = new datatrack.LocalDataTrackManager()
      const remote = new datatrack.RemoteDataTrackManager()
      local.publishDataTrack({ name: 'unanswered' })
      remote.handlePublicationUpdate('alice', [{ sid: 'DTR_1', pubHandle: 1, name: 'a', usesE2ee: false }])
      remote.tracks[0].subscribe().read()
      globalThis.kept = [local, remote]`,
    ],
    [
      'that closed its room while keys were being derived',
      `const keyProvider = new datatrack.ExternalE2EEKeyProvider()
      const sfu = new datatrack.Loopback()
      sfu.join('alice', { encryption: { keyProvider } })
      const keys = [0, 1, 2, 3].map((keyIndex) => keyProvider.setKey('passphrase', { keyIndex }))
      sfu.close()
      await Promise.all(keys)`,
    ],
  ])('%s', async (_name, source) => {
    expect(await runProgram(source)).toEqual(quiet())
  })

  it('but does not exit while a room is connected', async () => {
    // A timer that does not count: it fires only if something else keeps the process alive until then.
    const source = `
      const { alice, bob } = await traffic()
      bob.unref()
      process.on('beforeExit', () => console.log('nothing more to do'))
      setTimeout(() => { console.log('still here'); alice.disconnect() }, 100).unref()`
    expect(await runProgram(source)).toEqual(quiet('still here\nnothing more to do\n'))
  })

  it('but does not exit before an awaited key is derived', async () => {
    const source = `
      const keyProvider = new datatrack.ExternalE2EEKeyProvider()
      globalThis.manager = new datatrack.LocalDataTrackManager({ encryption: { keyProvider } })
      await keyProvider.setKey('passphrase')
      console.log('derived')`
    expect(await runProgram(source)).toEqual(quiet('derived\n'))
  })
})

const TONE = `
  const source = new datatrack.AudioSource(48_000, 1)
  const track = datatrack.LocalAudioTrack.createAudioTrack('tone', source)
  const frame = new datatrack.AudioFrame(new Int16Array(480_000), 48_000, 1, 480_000)
`

describe.concurrent('a program with sound that was not sent', () => {
  it.each<[string, string]>([
    [
      'that nobody waits for exits at once',
      'source.captureFrame(frame.constructor.create(48_000, 1, 24_000))',
    ],
    [
      'that was cleared exits at once',
      'const captured = source.captureFrame(frame); source.clearQueue(); await captured',
    ],
    [
      'that its source closed exits at once',
      'const captured = source.captureFrame(frame).catch(() => {}); await source.close(); await captured',
    ],
    ['calls process.exit()', 'source.captureFrame(frame); setTimeout(() => process.exit(0), 50)'],
  ])('%s', async (_name, source) => {
    expect(await runProgram(`${TONE}\n${source}`)).toEqual(quiet())
  })
})

describe.concurrent('process.exit()', () => {
  it('exits at once under full traffic', async () => {
    const source = `
      const { local, remote, stream } = await traffic()
      flood(local)
      process.on('exit', (code) => console.log('exit', code))
      // A second stream that is not read: frames wait in Rust, too.
      globalThis.unread = remote.subscribe()
      let frames = 0
      for await (const _ of stream) {
        if (++frames === 2000) process.exit(0)
        if (frames > 2000) console.log('went on')
      }`
    expect(await runProgram(source)).toEqual(quiet('exit 0\n'))
  })

  it.each<[string, string]>([
    [
      'within an event of a room',
      `const { alice, bob, local } = await traffic()
      bob.on('dataTrackUnpublished', () => process.exit(0))
      flood(local)
      await local.unpublish()`,
    ],
    [
      'while keys are being derived',
      `const keyProvider = new datatrack.ExternalE2EEKeyProvider()
      new datatrack.Loopback().join('alice', { encryption: { keyProvider } })
      for (let keyIndex = 0; keyIndex < 16; keyIndex++) keyProvider.setKey('passphrase', { keyIndex })
      setImmediate(() => process.exit(0))`,
    ],
    [
      'with a listener that goes on using and closing things',
      `const { sfu, local, stream } = await traffic()
      process.on('exit', () => { local.tryPush(new Uint8Array(4)); stream.close(); sfu.close() })
      process.exit(0)`,
    ],
    [
      'while worker threads have traffic',
      `const { Worker } = require('node:worker_threads')
      const source = ${JSON.stringify(`${prelude()}
        traffic().then(async ({ local, stream }) => {
          flood(local)
          let frames = 0
          for await (const _ of stream) {
            if (++frames === 100) require('node:worker_threads').parentPort.postMessage(0)
          }
        })`)}
      let running = 0
      for (let index = 0; index < 3; index++) {
        new Worker(source, { eval: true }).on('message', () => { if (++running === 3) process.exit(0) })
      }`,
    ],
  ])('%s', async (_name, source) => {
    expect(await runProgram(source)).toEqual(quiet())
  })
})

describe.concurrent('an error that a listener of the application throws', () => {
  const throwing = `
    const { sfu, alice, bob, local } = await traffic()
    bob.on('dataTrackUnpublished', () => { throw new Error('mine') })`

  it('ends the process as an uncaught exception', async () => {
    const { code, stderr } = await runProgram(`${throwing}
      await local.unpublish()`)
    expect(code).toBe(1)
    expect(stderr).toContain('Error: mine')
  })

  it('is reported to `uncaughtException` once, and everything goes on', async () => {
    const source = `
      process.on('uncaughtException', ({ message }) => console.log(message))
      ${throwing}
      await local.unpublish()
      await turn()
      const again = await alice.localParticipant.publishDataTrack({ name: 'again' })
      const stream = (await bob.remoteParticipants.get('alice').dataTracks.getDeferred('again')).subscribe()
      await turn()
      again.tryPush(new Uint8Array(7))
      console.log((await stream.read()).payload.length)
      bob.removeAllListeners()
      sfu.close()`
    const { stdout, ...rest } = await runProgram(source)
    expect(rest).toEqual({ code: 0, signal: null, stderr: '' })
    expect(stdout.split('\n').filter((line) => line === 'mine')).toHaveLength(1)
    expect(stdout).toContain('7\n')
  })

  it('in a loop over a stream ends that loop only', async () => {
    const source = `
      const { sfu, local, remote, stream } = await traffic()
      const other = remote.subscribe()
      local.tryPush(new Uint8Array(5))
      try { for await (const _ of stream) throw new Error('mine') } catch ({ message }) { console.log(message) }
      console.log((await other.read()).payload.length)
      sfu.close()`
    expect(await runProgram(source)).toEqual(quiet('mine\n5\n'))
  })
})

describe('worker threads', () => {
  // Starting that many takes 11 s of processor time, most of it for loading the package a hundred times.
  const limit = 180_000
  it('100 of them that start and terminate under traffic leave exit code 0', { timeout: limit }, async () => {
    const worker = `${prelude()}
      traffic().then(async ({ local, stream }) => {
        flood(local)
        let frames = 0
        for await (const _ of stream) {
          if (++frames === 20) require('node:worker_threads').parentPort.postMessage(0)
        }
      })`
    const source = `
      const { Worker } = require('node:worker_threads')
      let ended = 0
      const one = () => new Promise((resolve, reject) => {
        const worker = new Worker(${JSON.stringify(worker)}, { eval: true })
        worker.on('error', reject)
        worker.once('message', () => worker.terminate().then(() => { ended++; resolve() }))
      })
      for (let batch = 0; batch < 10; batch++) await Promise.all(Array.from({ length: 10 }, one))
      console.log(ended)`
    expect(await runProgram(source, prelude(), limit)).toEqual(quiet('100\n'))
  })

  it('the addon works in a worker after another worker that had loaded it has ended', async () => {
    // A worker that ends by itself, one that is terminated, and so on.
    const worker = `${prelude()}
      traffic().then(async ({ sfu, local, stream }) => {
        local.tryPush(new Uint8Array(9))
        require('node:worker_threads').parentPort.postMessage((await stream.read()).payload.length)
        // The runtime is used as well: keys are derived on its threads.
        const keyProvider = new datatrack.ExternalE2EEKeyProvider()
        sfu.join('carol', { encryption: { keyProvider } })
        await keyProvider.setKey('passphrase')
        require('node:worker_threads').parentPort.postMessage('derived')
        if (require('node:worker_threads').workerData) sfu.close()
      })`
    const source = `
      const { Worker } = require('node:worker_threads')
      for (const endsItself of [true, false, true, false, true]) {
        await new Promise((resolve, reject) => {
          const worker = new Worker(${JSON.stringify(worker)}, { eval: true, workerData: endsItself })
          worker.on('error', reject)
          worker.on('message', (message) => {
            console.log(message)
            if (message === 'derived' && !endsItself) worker.terminate()
          })
          worker.on('exit', (code) => { console.log('exit', code); resolve() })
        })
      }`
    const ends = [0, 1, 0, 1, 0].map((code) => `9\nderived\nexit ${code}\n`)
    expect(await runProgram(source)).toEqual(quiet(ends.join('')))
  })

  it('the main thread goes on when a worker ends, and a worker does when another thread ends', async () => {
    const worker = `${prelude()}
      const { parentPort } = require('node:worker_threads')
      traffic().then(({ sfu, local, stream }) => {
        parentPort.postMessage('up')
        parentPort.once('message', async () => {
          local.tryPush(new Uint8Array(9))
          parentPort.postMessage((await stream.read()).payload.length)
          parentPort.close()
          sfu.close()
        })
      })`
    const source = `
      const { Worker } = require('node:worker_threads')
      const start = () => new Promise((resolve, reject) => {
        const worker = new Worker(${JSON.stringify(worker)}, { eval: true })
        worker.on('error', reject).once('message', () => resolve(worker))
      })
      const { sfu, local, stream } = await traffic()
      await (await start()).terminate()
      local.tryPush(new Uint8Array(7))
      console.log((await stream.read()).payload.length)
      const stays = await start()
      sfu.close()
      stays.once('message', console.log).postMessage('go')`
    expect(await runProgram(source)).toEqual(quiet('7\n9\n'))
  })
})

describe('two copies of the package in one process', () => {
  it('each use an addon of their own, and recognize each other’s errors', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'datatrack-copy-'))
    try {
      for (const name of [
        'dist',
        'package.json',
        ...readdirSync('.').filter((file) => file.endsWith('.node')),
      ]) {
        cpSync(name, join(folder, name), { recursive: true })
      }
      symlinkSync(join(process.cwd(), 'node_modules'), join(folder, 'node_modules'))
      const source = `
        const copies = [${JSON.stringify(built)}, ${JSON.stringify(join(folder, 'dist', 'index.js'))}].map(require)
        async function use(datatrack) {
          const sfu = new datatrack.Loopback()
          const alice = sfu.join('alice')
          const bob = sfu.join('bob')
          const local = await alice.localParticipant.publishDataTrack({ name: 'track' })
          const remote = await bob.remoteParticipants.get('alice').dataTracks.getDeferred('track')
          const stream = remote.subscribe()
          await new Promise((resolve) => setImmediate(resolve))
          for (let frame = 0; frame < 100; frame++) local.tryPush(new Uint8Array([frame]))
          const payloads = []
          for await (const { payload } of stream) if (payloads.push(payload[0]) === 100) break
          let error
          try { local.tryPush(new Uint8Array(3_000_000)) } catch (thrown) { error = thrown }
          const handles = datatrack.debug.handles().length
          sfu.close()
          return { inOrder: payloads.every((value, index) => value === index), error, handles }
        }
        const [one, two] = copies
        const [first, second] = await Promise.all(copies.map(use))
        console.log(JSON.stringify({
          apart: one.Loopback !== two.Loopback && one.DataTrackPushFrameError !== two.DataTrackPushFrameError,
          delivered: [first.inOrder, second.inOrder],
          handles: [first.handles, second.handles],
          reasons: [first.error.reason, second.error.reason],
          across: [
            first.error instanceof two.DataTrackPushFrameError,
            second.error instanceof one.DataTrackPushFrameError,
            first.error instanceof two.DataTrackError,
          ],
          wrong: [
            first.error instanceof two.DataTrackPublishError,
            new Error() instanceof one.DataTrackError,
          ],
        }))`
      const { stdout, ...rest } = await runProgram(source, '')
      expect(rest).toEqual({ code: 0, signal: null, stderr: '' })
      expect(JSON.parse(stdout)).toEqual({
        apart: true,
        delivered: [true, true],
        handles: [4, 4],
        reasons: ['frameTooLarge', 'frameTooLarge'],
        across: [true, true, true],
        wrong: [false, false],
      })
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
