// What each platform must be able to do: small programs that use the installed package.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { allExamples } from '../examples.cjs'
import { fromRoot, StepError } from '../steps.mjs'
import { cache } from './cache.mjs'
import { TONE } from './speaker.mjs'

/** A program that hangs is ended after so many ms. An emulated processor is some ten times slower than a real one. */
const HANGS = 180_000

/** Sends a frame, and floods the track until the process ends. */
const TRAFFIC = `
  const { Loopback } = require('node-datatrack')
  async function traffic() {
    const sfu = new Loopback()
    const local = await sfu.join('alice').localParticipant.publishDataTrack({ name: 'track' })
    const remote = await sfu.join('bob').remoteParticipants.get('alice').dataTracks.getDeferred('track')
    const stream = remote.subscribe()
    const flood = () => {
      local.tryPush(new Uint8Array(1000))
      timer = setImmediate(flood)
    }
    let timer = setImmediate(flood)
    for (let frames = 0; frames < 200; frames++) await stream.read()
    return () => (clearImmediate(timer), sfu.close())
  }
`

/** Hears a tone at the rate of its argument: until a half of a second has little else in it. */
const HEARS = `
  const { AudioStream, Room, RoomEvent } = require('node-datatrack')
  const room = new Room()
  room.on(RoomEvent.TrackSubscribed, async (track) => {
    let heard = 0
    for await (const frame of new AudioStream(track, { sampleRate: Number(process.argv[2]), frameSizeMs: 100 }))
      if ((heard = share(frame) > 0.8 ? heard + 1 : 0) === 5) break
    await room.disconnect()
    console.log('heard', heard)
  })
  room.connect(process.env.LIVEKIT_URL, process.env.LIVEKIT_LISTENER_TOKEN, { autoSubscribe: true })

  /** The tone's share of the energy (Goertzel). */
  function share({ data, sampleRate }) {
    let [real, imaginary, energy] = [0, 0, 0]
    data.forEach((sample, index) => {
      const angle = (2 * Math.PI * ${TONE} * index) / sampleRate
      real += sample * Math.cos(angle)
      imaginary += sample * Math.sin(angle)
      energy += sample * sample
    })
    return energy === 0 ? 0 : (2 * (real * real + imaginary * imaginary)) / (data.length * energy)
  }
`

/** Programs of an installed package: a file's name and its text. */
const PROGRAMS = {
  'ends.cjs': `${TRAFFIC} traffic().then((close) => (close(), console.log('closed')))`,
  'exits.cjs': `${TRAFFIC}
    process.on('exit', (code) => console.log('exit', code))
    traffic().then(() => process.exit(0))`,
  'hears.cjs': HEARS,
  'workers.cjs': `
    const { Worker } = require('node:worker_threads')
    for (let index = 0; index < 3; index++)
      new Worker(require.resolve('./worker.cjs')).on('message', (text) => console.log(text))`,
  'worker.cjs': `${TRAFFIC}
    traffic().then((close) => (close(), require('node:worker_threads').parentPort.postMessage('done')))`,
}

/** Installs the built package and an addon into a new folder, as npm does, with the programs beside it. */
export function install(name, target, addon) {
  const folder = cache('app', name)
  rmSync(folder, { recursive: true, force: true })
  const own = join(folder, 'node_modules/node-datatrack')
  const native = join(folder, `node_modules/@node-datatrack/native-${target}`)
  for (const each of [own, native, join(folder, 'examples')]) mkdirSync(each, { recursive: true })
  copyFileSync(fromRoot('package.json'), join(own, 'package.json'))
  cpSync(fromRoot('dist'), join(own, 'dist'), { recursive: true })
  copyFileSync(fromRoot('npm', target, 'package.json'), join(native, 'package.json'))
  const { main } = JSON.parse(readFileSync(join(native, 'package.json'), 'utf8'))
  copyFileSync(addon, join(native, main))
  for (const script of ['smoke.cjs', 'import.mjs', 'require.cjs'])
    copyFileSync(fromRoot('__test__/package/fixtures', script), join(folder, script))
  // Otherwise the folder would be a part of this project, which has the name of the package.
  writeFileSync(join(folder, 'package.json'), '{ "private": true }')
  for (const [file, text] of Object.entries(PROGRAMS)) writeFileSync(join(folder, file), text)
  allExamples().forEach(({ text }, index) => writeFileSync(join(folder, example(index)), text))
  return folder
}

const example = (index) => `examples/${index}.mjs`
const DOCTOR = 'node_modules/node-datatrack/dist/main.js'

/** The trials, by the name of their column: programs, what each prints, and its environment. */
export function trials(server) {
  // Bun prints objects in more lines than Node.js does, and with other quotation marks.
  const plain = (text) => text.replaceAll(/[\s'",]/g, '')
  const prints =
    (...parts) =>
    (text) =>
      parts.filter((part) => !plain(text).includes(plain(part)))
  return {
    frame: ['import.mjs', 'require.cjs'].map((file) => ({ args: [file], check: prints('smoke ok') })),
    examples: allExamples().map(({ promised }, index) => ({
      args: [example(index)],
      check: prints(...promised),
    })),
    doctor: [
      { args: [DOCTOR, 'doctor'], check: prints('ok      binary') },
      { args: [DOCTOR, 'doctor'], env: server, check: prints('All is well: data tracks work.') },
    ],
    // At a rate of libopus, and at one that needs our resampler.
    audio: ['48000', '44100'].map((rate) => ({
      args: ['hears.cjs', rate],
      env: server,
      check: prints('heard 5'),
    })),
    ends: [
      { args: ['ends.cjs'], check: prints('closed') },
      { args: ['exits.cjs'], check: prints('exit 0') },
    ],
    workers: [{ args: ['workers.cjs'], check: prints('donedonedone') }],
  }
}

/** The version of a runtime, as it says itself. */
export async function versionOf(runtime, folder) {
  const source = 'console.log(process.versions.bun ?? process.versions.node)'
  const { code, stdout, stderr } = await runToEnd(runtime(['-e', source], folder), folder)
  if (code !== 0) throw new StepError(`the runtime does not start: ${stderr}`)
  return stdout.trim()
}

/** Runs the programs of a trial one after another. Returns how many did what they must, and what the others did. */
export async function attempt(programs, runtime, folder) {
  const failures = []
  for (const { args, env, check } of programs) {
    const { code, signal, stdout, stderr } = await runToEnd(runtime(args, folder), folder, env)
    const lacking = check(stdout)
    if (code === 0 && lacking.length === 0) continue
    const how = code === 0 ? `did not print ${lacking.join(' | ')}` : `ended with ${signal ?? code}`
    failures.push(`${args.join(' ')} ${how}\n${stdout}${stderr}`)
  }
  return { passed: programs.length - failures.length, failures }
}

async function runToEnd([command, args], cwd, env) {
  const files = ['stdout', 'stderr'].map((name) => `${cwd}.${name}`)
  const [stdout, stderr] = files.map((file) => openSync(file, 'w'))
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', stdout, stderr],
    timeout: HANGS,
    killSignal: 'SIGKILL',
  })
  for (const file of [stdout, stderr]) closeSync(file)
  const [code, signal] = await once(child, 'close')
  const [output, errors] = files.map((file) => readFileSync(file, 'utf8'))
  return { code, signal, stdout: output, stderr: errors }
}
