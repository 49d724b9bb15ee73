/** `node-datatrack/rtc-node` beside `@livekit/rtc-node`: the names, and what one program does on both. */
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { beforeAll, describe, expect, it } from 'vitest'
import { withServer } from '../helpers/with-server'
import { rtcNodeFolder, sdks } from './peers/reliable-peer'

const server = withServer()
const theirs = join(rtcNodeFolder, 'node_modules/@livekit/rtc-node')
const ours = resolve('dist/rtc-node.js')
beforeAll(() => {
  sdks.rtcNode.install()
}, 300_000)

/** The program takes some ten seconds. If it takes so many ms, it is killed, and the test says how far it came. */
const HANGS = 90_000

interface Shape {
  readonly numbers?: Readonly<Record<string, string | number>>
  readonly members?: readonly string[]
}

/** What a module exports. */
function shapeOf(module: string): Readonly<Record<string, Shape>> {
  const { output } = spawnSync(process.execPath, ['__test__/interop/peers/shape-of-module.mjs', module], {
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
  })
  return JSON.parse(String(output[3])) as Record<string, Shape>
}

/** What `@livekit/agents` 1.9.0 imports: values and types. */
const OF_AGENTS = [
  ...['AudioFrame', 'AudioMixer', 'AudioResampler', 'AudioResamplerQuality', 'AudioSource', 'AudioStream'],
  ...['ByteStreamReader', 'ByteStreamWriter', 'ConnectionState', 'DisconnectReason', 'E2EEOptions'],
  ...['FrameProcessor', 'LocalAudioTrack', 'LocalParticipant', 'LocalTrackPublication'],
  ...['NoiseCancellationOptions', 'Participant', 'ParticipantKind', 'RemoteParticipant', 'RemoteTrack'],
  ...[
    'RemoteTrackPublication',
    'Room',
    'RoomEvent',
    'RpcInvocationData',
    'RtcConfiguration',
    'TextStreamInfo',
  ],
  ...['TextStreamReader', 'TextStreamWriter', 'TrackKind', 'TrackPublishOptions', 'TrackSource'],
  ...['VideoBufferType', 'VideoFrame', 'dispose', 'isFrameProcessor'],
]

/** Members of rtc-node's classes that its declarations mark as private or internal. */
const INTERNAL = new Set([
  ...['cleanupOnDisconnect', 'createRemoteParticipant', 'disposeOpenStreamWriters', 'finishIteration'],
  ...['acquireReader', 'handleByteStreamOpened', 'handleChunkReceived', 'handleRpcMethodInvocation'],
  ...['handleTextStreamOpened', 'invokeRpcHandler', 'performRpcFfi', 'requireParticipantByIdentity'],
  ...['requirePublicationOfParticipant', 'requirePublicationOfRemoteParticipant', 'requireRemoteParticipant'],
  ...['retrieveParticipantByIdentity', 'updateConnectionState', 'resolveRoom', 'setRoom', 'updateInfo'],
  ...['registerAudioStream', 'unregisterAudioStream', 'closeAudioStreams', 'iterateStreams'],
  ...['pushProcessorMetadataToStream', 'resolveFirstSubscription', 'protoInfo', 'static fromOwnedInfo'],
  ...['static ErrorMessage', 'getNextFrame', 'getContribution', 'mixAudio', 'timeoutRace', 'mixer', 'sleep'],
])
/** Of these there are no objects: those that there are belong to other classes. */
const ABSTRACT = new Set(['Participant', 'Track', 'TrackPublication', 'LocalVideoTrack', 'RemoteVideoTrack'])
/** Fields here, and accessors in rtc-node. */
const FIELDS = new Set(['AudioResampler.channels', 'AudioResampler.inputRate', 'AudioResampler.outputRate'])

/** Rows of a table of docs/rtc-node.md: the names in the first column. */
function namesUnder(heading: string): string[] {
  const page = readFileSync('docs/rtc-node.md', 'utf8')
  const section = page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  const cells = [...section.matchAll(/^\| ([^|]*`[^|]*) \|/gm)].map(([, cell]) => cell!)
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!))
}

describe('the names', () => {
  it('each name that rtc-node exports exists, and each number is the same', () => {
    const [is, wanted] = [shapeOf(ours), shapeOf(theirs)]
    expect(Object.keys(wanted).filter((name) => !(name in is))).toEqual([])
    for (const [name, { numbers }] of Object.entries(wanted)) {
      if (numbers !== undefined)
        expect({ [name]: is[name]?.numbers }).toMatchObject({ [name]: forward(numbers) })
    }
  })

  it('what @livekit/agents imports exists', () => {
    const declared = readFileSync('dist/rtc-node.d.ts', 'utf8')
    const exported = new Set(
      [...declared.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, list]) =>
        list!.split(',').map((name) => name.trim().replace(/^.* as /, '')),
      ),
    )
    expect(OF_AGENTS).toHaveLength(35)
    expect(OF_AGENTS.filter((name) => !exported.has(name))).toEqual([])
  })

  it('each member of its classes exists, or the documentation lists it as missing', () => {
    const [is, wanted] = [shapeOf(ours), shapeOf(theirs)]
    const missing = Object.entries(wanted).flatMap(([name, { members = [] }]) =>
      ABSTRACT.has(name)
        ? []
        : members
            .filter((member) => !INTERNAL.has(member) && is[name]?.members?.includes(member) !== true)
            .map((member) => `${name}.${member.replace('static ', '')}`)
            .filter((member) => !FIELDS.has(member)),
    )
    expect(missing.sort()).toEqual(
      namesUnder('What is missing')
        .filter((name) => name.includes('.'))
        .sort(),
    )
  })
})

/** The names of an enum, without those that lead back from the numbers. */
function forward(numbers: Readonly<Record<string, string | number>>): Record<string, string | number> {
  return Object.fromEntries(Object.entries(numbers).filter(([name]) => !/^\d+$/.test(name)))
}

/** Runs the program to its end, which it must come to by itself. Returns what each step did. */
async function stepsOf(watched: string, other: string): Promise<unknown[]> {
  const room = 'same-program'
  const tokens = await Promise.all(
    ['watched', 'other', 'watched'].map((identity) =>
      server.token(room, identity, { grant: { canUpdateOwnMetadata: true } }),
    ),
  )
  const child = spawn(
    process.execPath,
    ['__test__/interop/peers/same-program.mjs', watched, other, server.url, ...tokens],
    { stdio: ['ignore', 'ignore', 'pipe', 'pipe'], timeout: HANGS, killSignal: 'SIGKILL' },
  )
  const [code, said, steps] = await Promise.all([
    new Promise((ended) => child.on('close', ended)),
    text(child.stderr as unknown as Readable),
    text(child.stdio[3] as unknown as Readable),
  ])
  const done = steps.trim().split('\n')
  expect(code, `after ${done.length} steps, ${done.at(-1)}, ${said}`).toBe(0)
  return done.map((line) => JSON.parse(line) as unknown)
}

describe('a program', () => {
  let wanted: readonly unknown[]
  beforeAll(async () => {
    wanted = await stepsOf(theirs, theirs)
  })

  it.each([
    ['alone', ours, ours],
    ['with rtc-node as the other participant', ours, theirs],
    ['as the other participant of one on rtc-node', theirs, ours],
  ])(
    'does the same as on rtc-node, %s',
    async (_, watched, other) => {
      expect(wanted).toHaveLength(23)
      expect(await stepsOf(watched, other)).toEqual(wanted)
    },
    HANGS + 5000,
  )
})
