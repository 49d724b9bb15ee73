/** Options of rooms and of published tracks, in the shapes of `@livekit/rtc-node`, and what they mean here. */
import { RtcNodeError } from '../base/errors'
import type { ConnectOptions } from '../connection/connect-options'
import { ExternalE2EEKeyProvider } from '../e2ee/key-provider'
import type { TrackPublishOptions as OwnPublishOptions } from '../media/track-publish-options'
import type { RoomOptions as OwnRoomOptions } from '../room/room-options'
import { sourceName } from './convert'
import { EncryptionType, IceTransportType, KeyDerivationFunction } from './enums'
import type { ContinualGatheringPolicy, TrackSource } from './enums'

/** A TURN server. */
export class IceServer {
  urls: string[] = []
  username?: string
  password?: string

  constructor(data: { urls?: string[]; username?: string; password?: string } = {}) {
    Object.assign(this, data)
  }
}

/** Which network paths a room uses. */
export interface RtcConfiguration {
  iceTransportType: IceTransportType
  /** Has no effect. */
  continualGatheringPolicy: ContinualGatheringPolicy
  /** TURN servers in place of those that the server names; empty: those of the server. */
  iceServers: IceServer[]
}

/** Limits of incoming data streams. */
export interface RoomDataStreamOptions {
  /**
   * The most bytes of one stream. A reader fails beyond it. Default: none for a loop, 256 MiB for `readAll` (rtc-node:
   * 5 GB).
   */
  maxPayloadByteLength?: number
}

/** Options of the keys. */
export interface KeyProviderOptions {
  /** The key of all participants. */
  sharedKey?: Uint8Array
  /** Only `LKFrameEncryptionKey`, which is the default. */
  ratchetSalt?: Uint8Array
  ratchetWindowSize?: number
  failureTolerance?: number
  /** Has no effect: there are 16 indices. */
  keyRingSize?: number
  keyDerivationFunction?: KeyDerivationFunction
}

/** End-to-end encryption of a room. */
export interface E2EEOptions {
  keyProviderOptions: KeyProviderOptions
  /** Only `GCM`, which is the default. */
  encryptionType?: EncryptionType
}

/** Options of {@link Room.connect}. */
export interface RoomOptions {
  /** Whether the room subscribes to each track. Default: `true`. */
  autoSubscribe: boolean
  /** Has no effect: it concerns video. */
  dynacast: boolean
  /** The older name of `encryption`. Here it also encrypts data, as `encryption` does. */
  e2ee?: E2EEOptions
  /** End-to-end encryption of audio and data. Default: none. */
  encryption?: E2EEOptions
  /** Which network paths the room uses. Default: all, with the TURN servers that the server names. */
  rtcConfig?: RtcConfiguration
  /** Limits of incoming data streams. */
  dataStream?: RoomDataStreamOptions
}

/** What rtc-node takes to be the default if a program gives options without some of these. */
const DEFAULT_RATCHET_WINDOW = 16
const SALT = 'LKFrameEncryptionKey'

/** The room's own options. */
export interface RoomSettings {
  readonly room: OwnRoomOptions
  readonly connect: ConnectOptions
  /** The shared key, which is to be set before the room is connected. */
  readonly key: { readonly provider: ExternalE2EEKeyProvider; readonly material: Uint8Array } | undefined
}

/** @throws `RtcNodeError` for an encryption that this package does not have */
export function roomSettings(options: Partial<RoomOptions> = {}): RoomSettings {
  const { rtcConfig, autoSubscribe = true } = options
  const encryption = options.encryption ?? options.e2ee
  const provider = encryption && keyProvider(encryption)
  return {
    room: provider === undefined ? {} : { encryption: { keyProvider: provider } },
    connect: {
      autoSubscribe,
      ...(rtcConfig?.iceTransportType === IceTransportType.TRANSPORT_RELAY && {
        iceTransports: 'relay' as const,
      }),
      ...(rtcConfig !== undefined &&
        rtcConfig.iceServers.length > 0 && {
          iceServers: rtcConfig.iceServers.map(({ urls, username, password }) => ({
            urls,
            username,
            credential: password,
          })),
        }),
    },
    key: keyOf(provider, encryption?.keyProviderOptions.sharedKey),
  }
}

function keyOf(
  provider: ExternalE2EEKeyProvider | undefined,
  material: Uint8Array | undefined,
): RoomSettings['key'] {
  return provider === undefined || material === undefined ? undefined : { provider, material }
}

function keyProvider({ keyProviderOptions, encryptionType }: E2EEOptions): ExternalE2EEKeyProvider {
  const { ratchetSalt, keyDerivationFunction, ratchetWindowSize, failureTolerance } = keyProviderOptions
  if (encryptionType !== undefined && encryptionType !== EncryptionType.GCM)
    throw new RtcNodeError('encryption', { detail: 'encryptionType' })
  if (ratchetSalt !== undefined && Buffer.from(ratchetSalt).toString() !== SALT)
    throw new RtcNodeError('encryption', { detail: 'ratchetSalt' })
  return new ExternalE2EEKeyProvider({
    keyDerivation: keyDerivationFunction === KeyDerivationFunction.HKDF ? 'HKDF' : 'PBKDF2',
    ratchetWindowSize: ratchetWindowSize ?? DEFAULT_RATCHET_WINDOW,
    failureTolerance: failureTolerance ?? -1,
  })
}

/** Bits and frames a second of a video track. */
export interface VideoEncoding {
  maxBitrate: bigint
  maxFramerate: number
}

/** Bits a second of an audio track. */
export interface AudioEncoding {
  maxBitrate: bigint
}

/** Options of {@link LocalParticipant.publishTrack}. Those of video have no effect. */
export class TrackPublishOptions {
  /** Video only. */
  videoEncoding?: VideoEncoding
  /** Bits a second. Default: 32,000 for one channel, 64,000 for two. */
  audioEncoding?: AudioEncoding
  /** Video only. */
  videoCodec?: number
  /** Whether silence is not transmitted. Default: `true` for one channel, `false` for two. */
  dtx?: boolean
  /** Whether each packet repeats the one before it, which repairs losses. Default: as for `dtx`. */
  red?: boolean
  /** Video only. */
  simulcast?: boolean
  /** Where the sound comes from. */
  source?: TrackSource
  /** The stream that the track belongs to. */
  stream?: string
  /** Has no effect. */
  preconnectBuffer?: boolean
  /** Video only. */
  scalabilityMode?: string

  constructor(data: Partial<TrackPublishOptions> = {}) {
    Object.assign(this, data)
  }
}

/** Bits a second that the codec has. */
const [LEAST_BITRATE, MOST_BITRATE] = [6000, 510_000]

/** @throws `RtcNodeError` (`video`) for a source of pictures */
export function publishSettings(options: Partial<TrackPublishOptions> = {}): OwnPublishOptions {
  const { audioEncoding, dtx, red, source, stream } = options
  const bitrate = Number(audioEncoding?.maxBitrate ?? 0)
  return {
    source: sourceName(source),
    dtx,
    red,
    ...(stream !== undefined && { stream }),
    ...(bitrate > 0 && { bitrate: Math.min(Math.max(bitrate, LEAST_BITRATE), MOST_BITRATE) }),
  }
}
