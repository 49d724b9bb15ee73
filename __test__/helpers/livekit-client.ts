/**
 * livekit-client's classes for data tracks below `Room`, loaded from the sources in its npm package. The types here
 * describe only what the tests use, because those sources do not compile with our compiler options.
 */
import { readFileSync } from 'node:fs'

export interface TheirExtensions {
  userTimestamp?: { timestamp: bigint } | undefined
  e2ee?: { keyIndex: number; iv: Uint8Array } | undefined
}

export interface TheirFrame {
  payload: Uint8Array
  extensions: TheirExtensions
}

export interface TheirPacket {
  header: {
    /** 0 start, 1 inter, 2 final, 3 single. */
    marker: number
    trackHandle: number
    sequence: { value: number }
    frameNumber: { value: number }
    timestamp: { asTicks(): number }
    extensions: TheirExtensions
  }
  payload: Uint8Array
  toBinary(): Uint8Array
}

interface TheirTimestamp {
  asTicks(): number
}

interface TheirKeys {
  setKey(material: unknown, keyIndex?: number): Promise<void>
  ratchetKey(keyIndex?: number): Promise<unknown>
}

interface Sources {
  Packetizer: new (
    handle: number,
    mtu: number,
  ) => {
    packetize(frame: TheirFrame, options?: { now?: TheirTimestamp }): Iterable<TheirPacket>
  }
  Depacketizer: new () => {
    push(
      packet: TheirPacket,
      options?: { throwOnInterruption: boolean; maxPartialFrames?: number },
    ): TheirFrame | null
  }
  DataTrackPacket: { fromBinary(bytes: Uint8Array): [TheirPacket, number] }
  DataTrackExtensions: new (options: TheirExtensions) => TheirExtensions
  DataTrackUserTimestampExtension: new (timestamp: bigint) => { timestamp: bigint }
  DataTrackE2eeExtension: new (keyIndex: number, iv: Uint8Array) => { keyIndex: number; iv: Uint8Array }
  /** `from`: what `tryPush` does with the application's frame. `lossyIntoFrame`: what a stream does with its frames. */
  DataTrackFrameInternal: {
    from(frame: { payload: Uint8Array; userTimestamp?: bigint | undefined }): TheirFrame
    lossyIntoFrame(frame: TheirFrame): { payload: Uint8Array; userTimestamp?: bigint }
  }
  DataTrackTimestamp: { fromRtpTicks(ticks: number): TheirTimestamp }
  DataCryptor: {
    encrypt(
      payload: Uint8Array,
      keys: TheirKeys,
    ): Promise<{ payload: Uint8Array; iv: Uint8Array; keyIndex: number }>
    decrypt(
      payload: Uint8Array,
      iv: Uint8Array,
      keys: TheirKeys,
      keyIndex: number,
    ): Promise<{ payload: Uint8Array }>
  }
  ParticipantKeyHandler: new (identity: string, options: object) => TheirKeys
  createKeyMaterialFromString(passphrase: string): Promise<unknown>
  createKeyMaterialFromBuffer(raw: ArrayBuffer): Promise<unknown>
  KEY_PROVIDER_DEFAULTS: object
}

const root = '../../node_modules/livekit-client'

async function load(file: string): Promise<Record<string, unknown>> {
  return (await import(/* @vite-ignore */ `${root}/src/${file}.ts`)) as Record<string, unknown>
}

/** Loads the classes. It turns off livekit-client's log, which would report each dropped frame. */
export async function livekitClient(): Promise<Sources> {
  const tracks = 'room/data-track'
  const { setLogLevel } = (await load('logger')) as { setLogLevel: (level: string) => void }
  setLogLevel('silent')
  const modules = [
    await load(`${tracks}/packet/index`),
    await load(`${tracks}/packet/extensions`),
    await load(`${tracks}/frame`),
    await load(`${tracks}/utils`),
    await load('e2ee/worker/DataCryptor'),
    await load('e2ee/worker/ParticipantKeyHandler'),
    await load('e2ee/utils'),
    await load('e2ee/constants'),
    { Packetizer: (await load(`${tracks}/packetizer`))['default'] },
    { Depacketizer: (await load(`${tracks}/depacketizer`))['default'] },
  ]
  return Object.assign({}, ...modules) as Sources
}

/** The installed version of livekit-client. */
export function livekitClientVersion(): string {
  const manifest = readFileSync('node_modules/livekit-client/package.json', 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}
