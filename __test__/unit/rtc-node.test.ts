/** `node-datatrack/rtc-node` without a server: what it refuses, and how it reads options. */
import { describe, expect, test } from 'vitest'
import * as own from '../../index'
import * as rtc from '../../src/rtc-node/index'
import { reasonNumber } from '../../src/rtc-node/convert'
import { publishSettings, roomSettings } from '../../src/rtc-node/options'

const code = 'ERR_DATATRACK_RTC_NODE'

describe('what needs libwebrtc', () => {
  test.each([
    ['VideoSource', 'video', rtc.VideoSource],
    ['VideoStream', 'video', rtc.VideoStream],
    ['AudioFilter', 'audioFilter', rtc.AudioFilter],
    ['KeyProvider', 'encryption', rtc.KeyProvider],
    ['FrameCryptor', 'encryption', rtc.FrameCryptor],
  ])('%s throws, and the message names it', (name, reason, type) => {
    expect(() => Reflect.construct(type, [])).toThrow(
      expect.objectContaining({ code, reason, message: expect.stringContaining(name) }),
    )
  })

  test('so does LocalVideoTrack.createVideoTrack', () => {
    const { createVideoTrack } = rtc.LocalVideoTrack as unknown as Record<string, () => unknown>
    expect(createVideoTrack).toThrow(expect.objectContaining({ code, reason: 'video' }))
  })

  test('a stream of a local track throws', () => {
    const source = new rtc.AudioSource(48_000, 1)
    const track = rtc.LocalAudioTrack.createAudioTrack('voice', source)
    expect(() => new rtc.AudioStream(track)).toThrow(expect.objectContaining({ code, reason: 'localStream' }))
  })

  test('a track with the source of a camera is refused', () => {
    const source = { source: rtc.TrackSource.SOURCE_CAMERA }
    expect(() => publishSettings(source)).toThrow(expect.objectContaining({ code, reason: 'video' }))
  })

  test('a picture keeps its bytes, and is not converted to another layout', () => {
    const frame = new rtc.VideoFrame(new Uint8Array(16), 2, 2, rtc.VideoBufferType.RGBA)
    expect(frame.convert(rtc.VideoBufferType.RGBA)).toEqual(frame)
    expect(() => frame.convert(rtc.VideoBufferType.I420)).toThrow(
      expect.objectContaining({ reason: 'video' }),
    )
  })
})

describe('the options of a room', () => {
  test('by default it subscribes to each track', () => {
    expect(roomSettings()).toEqual({ room: {}, connect: { autoSubscribe: true }, key: undefined })
    expect(roomSettings({ autoSubscribe: false }).connect.autoSubscribe).toBe(false)
  })

  test('relays only, with TURN servers of the program', () => {
    const rtcConfig = {
      iceTransportType: rtc.IceTransportType.TRANSPORT_RELAY,
      continualGatheringPolicy: rtc.ContinualGatheringPolicy.GATHER_CONTINUALLY,
      iceServers: [new rtc.IceServer({ urls: ['turn:relay:3478'], username: 'user', password: 'secret' })],
    }
    expect(roomSettings({ rtcConfig }).connect).toEqual({
      autoSubscribe: true,
      iceTransports: 'relay',
      iceServers: [{ urls: ['turn:relay:3478'], username: 'user', credential: 'secret' }],
    })
  })

  test.each(['e2ee', 'encryption'] as const)('a shared key, as %s', (name) => {
    const sharedKey = Buffer.from('secret')
    const { room, key } = roomSettings({ [name]: { keyProviderOptions: { sharedKey } } })
    expect(room.encryption?.keyProvider).toBe(key?.provider)
    expect(key?.material).toBe(sharedKey)
    expect(key?.provider.getOptions()).toMatchObject({ sharedKey: true, ratchetWindowSize: 16 })
  })

  test('another salt or type of encryption is refused', () => {
    const keyProviderOptions = { sharedKey: Buffer.from('secret') }
    const salted = { keyProviderOptions: { ...keyProviderOptions, ratchetSalt: Buffer.from('salt') } }
    const custom = { keyProviderOptions, encryptionType: rtc.EncryptionType.CUSTOM }
    for (const encryption of [salted, custom]) {
      expect(() => roomSettings({ encryption })).toThrow(
        expect.objectContaining({ code, reason: 'encryption' }),
      )
    }
  })
})

test('the options of a track', () => {
  const { SOURCE_MICROPHONE } = rtc.TrackSource
  const audioEncoding = { maxBitrate: 1000n }
  expect(publishSettings(new rtc.TrackPublishOptions())).toEqual({ source: 'unknown' })
  expect(
    publishSettings(
      new rtc.TrackPublishOptions({ source: SOURCE_MICROPHONE, dtx: false, audioEncoding, stream: 'a' }),
    ),
  ).toEqual({ source: 'microphone', dtx: false, bitrate: 6000, stream: 'a' })
})

test('a frame may have more samples than it counts', async () => {
  const source = new rtc.AudioSource(48_000, 1)
  await source.captureFrame(new rtc.AudioFrame(new Int16Array(960), 48_000, 1, 480))
  expect(source.queuedDuration).toBeLessThanOrEqual(10)
  const short = new rtc.AudioFrame(new Int16Array(240), 48_000, 1, 480)
  await expect(source.captureFrame(short)).rejects.toThrow(RangeError)
  await source.close()
})

test('classes that both entries have are the same', () => {
  for (const name of ['AudioFrame', 'AudioResampler', 'AudioMixer', 'FrameProcessor', 'RpcError'] as const)
    expect(rtc[name]).toBe(own[name])
  expect(new rtc.AudioSource(16_000, 1)).toBeInstanceOf(own.AudioSource)
})

test('before it is connected, a room is as that of rtc-node', async () => {
  const room = new rtc.Room()
  expect([room.name, room.metadata, room.localParticipant, room.e2eeManager]).toEqual(
    Array(4).fill(undefined),
  )
  expect([room.isConnected, room.connectionState, room.numParticipants]).toEqual([false, 0, 0])
  expect(room.creationTime).toEqual(new Date(0))
  expect(await room.getSid()).toBe('')
  await room.disconnect()
  await rtc.dispose()
})

test('a failed connect is a ConnectError with its cause', async () => {
  const room = new rtc.Room()
  await expect(room.connect('ws://127.0.0.1:1', 'token')).rejects.toThrow(
    expect.objectContaining({ name: 'ConnectError', cause: expect.any(own.DataTrackConnectionError) }),
  )
  expect(room.isConnected).toBe(false)
})

test('a room connects once at a time, and again after a failure', async () => {
  const room = new rtc.Room()
  const unreachable = expect.objectContaining({ cause: expect.any(own.DataTrackConnectionError) })
  const first = room.connect('ws://127.0.0.1:1', 'token')
  await expect(room.connect('ws://127.0.0.1:1', 'token')).rejects.toThrow(
    new rtc.ConnectError('the room is connected already, or is being connected'),
  )
  await expect(first).rejects.toThrow(unreachable)
  await expect(room.connect('ws://127.0.0.1:1', 'token')).rejects.toThrow(unreachable)
})

test('each reason of a disconnect has the number that its name has', () => {
  for (const [name, number] of Object.entries(rtc.DisconnectReason).filter(([name]) => /^[A-Z]/.test(name))) {
    const reason = name.toLowerCase().replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
    expect([reason, reasonNumber(reason as own.DisconnectReason)]).toEqual([reason, number])
  }
})
