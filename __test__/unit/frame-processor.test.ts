/** Filters of audio streams, over the silence that a stream has before its track's packets come. */
import { describe, expect, it } from 'vitest'
import { AudioFrame, AudioStream, FrameProcessor, isFrameProcessor, setLogger } from '../../index'
import type { FrameProcessorCredentials, FrameProcessorStreamInfo } from '../../index'
import { RemoteAudioTrack } from '../../src/media/remote-audio-track'
import type { NativeAudioStream } from '../../src/native/native'
import { fakeRoom } from '../helpers/fake-connection'

class Filter extends FrameProcessor {
  enabled = true
  readonly told: unknown[] = []
  processed = 0

  isEnabled(): boolean {
    return this.enabled
  }

  setEnabled(enabled: boolean): void {
    this.enabled = enabled
  }

  override onStreamInfoUpdated(info: FrameProcessorStreamInfo): void {
    this.told.push(info)
  }

  override onStreamInfoCleared(): void {
    this.told.push('no info')
  }

  override onCredentialsUpdated(credentials: FrameProcessorCredentials): void {
    this.told.push(credentials)
  }

  override onCredentialsCleared(): void {
    this.told.push('no credentials')
  }

  process(frame: AudioFrame): AudioFrame {
    this.processed += 1
    return new AudioFrame(frame.data.fill(7), frame.sampleRate, frame.channels, frame.samplesPerChannel)
  }

  close(): void {
    this.told.push('closed')
  }
}

const info = { roomName: 'hall', participantIdentity: 'alice', publicationSid: 'TR_1' }
const frames = new Uint8Array(2 * 480)

/** A track with frames of silence without end. */
function trackOf(): RemoteAudioTrack {
  const native = { id: 0xffff_0000, read: () => frames.slice(), stats: () => ({}), close: () => {} }
  const context = { streamInfo: info, credentials: { url: 'wss://here', token: 'secret' } }
  return new RemoteAudioTrack(
    'TR_1',
    () => native as unknown as NativeAudioStream,
    () => context,
  )
}

const first = async (stream: AudioStream): Promise<number | undefined> => {
  const reader = stream.getReader()
  const { value } = await reader.read()
  reader.releaseLock()
  return value?.data[0]
}

describe('a filter', () => {
  it('gets the frames of its stream, and learns what the stream is of', async () => {
    const track = trackOf()
    const filter = new Filter()
    const stream = new AudioStream(track, { noiseCancellation: filter })
    expect(filter.told).toEqual([info, { url: 'wss://here', token: 'secret' }])
    expect(await first(stream)).toBe(7)
    filter.setEnabled(false)
    expect(await first(stream)).toBe(0)
    stream.close()
    stream.close()
    expect(filter.told.slice(2)).toEqual(['no info', 'no credentials', 'closed'])
  })

  it('of a room learns of another token, and ends with the track, once', async () => {
    const { room, connection } = fakeRoom()
    connection.credentials = { url: 'wss://here', token: 'secret' }
    const alice = { identity: 'alice', sid: 'PA_1', state: 2, tracks: [{ sid: 'TR_1' }] }
    const participant = { identity: 'me', sid: 'PA_me', state: 2 }
    const value = { participant, room: { sid: 'RM_1', name: 'hall' }, otherParticipants: [alice] }
    room.engine.receive({ message: { case: 'join', value } })
    room.engine.tracksSent(new Set(['TR_1']))
    const { track } = room.remoteParticipants.get('alice')!.trackPublications.get('TR_1')!
    const filter = new Filter()
    const stream = new AudioStream(track!, { noiseCancellation: filter })
    connection.credentials = { url: 'wss://there', token: 'other' }
    room.engine.tokenRefreshed('other')
    room.engine.tracksSent(new Set())
    expect(filter.told).toEqual([
      info,
      { url: 'wss://here', token: 'secret' },
      { url: 'wss://there', token: 'other' },
      'no info',
      'no credentials',
      'closed',
    ])
    for await (const { data } of stream) expect(data[0]).toBe(7)
    expect(filter.told).toHaveLength(6)
    const late = new Filter()
    for await (const frame of new AudioStream(track!, { noiseCancellation: late }))
      expect(frame).toBe(undefined)
    expect(late.told.at(-1)).toBe('closed')
    await room.disconnect()
  })

  it('filters what the reader had not taken when the track ended', async () => {
    const track = trackOf()
    let left = 3
    const native = {
      id: 0xffff_0001,
      read: () => (left-- > 0 ? frames.slice() : null),
      stats: () => ({}),
      close: () => {},
    }
    const ending = new RemoteAudioTrack('TR_1', () => native as unknown as NativeAudioStream, track.context)
    const filter = new Filter()
    const stream = new AudioStream(ending, { noiseCancellation: filter })
    ending.end()
    const values: (number | undefined)[] = []
    for await (const { data } of stream) values.push(data[0])
    expect(values).toEqual([7, 7, 7])
    expect(filter.told.at(-1)).toBe('closed')
  })

  it('stays open for another stream, if the program wants that', async () => {
    const track = trackOf()
    const filter = new Filter()
    for (let turn = 0; turn < 2; turn += 1) {
      const options = { noiseCancellation: filter, autoCloseNoiseCancellation: false }
      await using stream = new AudioStream(track, options)
      expect(await first(stream)).toBe(7)
    }
    expect(filter.told).not.toContain('closed')
    expect(filter.told.filter((told) => told === 'no info')).toHaveLength(2)
  })

  it('that fails lets the frames pass, and is named in the log once', async () => {
    const track = trackOf()
    const warnings: string[] = []
    const ignore = (): void => {}
    const warn = (_: unknown, message: string): void => void warnings.push(message)
    setLogger({ trace: ignore, debug: ignore, info: ignore, warn, error: warn })
    class Broken extends Filter {
      override process(): AudioFrame {
        throw new Error('no model')
      }
      override close(): void {
        throw new Error('no end')
      }
    }
    const stream = new AudioStream(track, { noiseCancellation: new Broken() })
    expect(await first(stream)).toBe(0)
    expect(await first(stream)).toBe(0)
    stream.close()
    setLogger(undefined)
    expect(warnings).toEqual(['the processor of an audio stream failed: Error: no model'])
  })

  it('may be of a package that knows fewer methods', async () => {
    const track = trackOf()
    const filter = new Filter()
    const old = {
      symbol: Symbol.for('lk.frame-processor'),
      isEnabled: () => true,
      process: (frame: AudioFrame) => filter.process(frame),
      close: () => {},
    }
    expect(isFrameProcessor(old)).toBe(true)
    await using stream = new AudioStream(track, { noiseCancellation: old as unknown as FrameProcessor })
    expect(await first(stream)).toBe(7)
  })

  it('must be one', async () => {
    const track = trackOf()
    for (const wrong of [null, 'krisp', { moduleId: 'krisp', options: {} }, new Map()])
      expect(() => new AudioStream(track, { noiseCancellation: wrong as unknown as FrameProcessor })).toThrow(
        /"options.noiseCancellation" must be a FrameProcessor/,
      )
    const mark = { symbol: Symbol.for('lk.frame-processor') } as unknown as FrameProcessor
    expect(() => new AudioStream(track, { noiseCancellation: mark })).toThrow(/noiseCancellation.isEnabled/)
    const value = 'no' as unknown as boolean
    expect(() => new AudioStream(track, { autoCloseNoiseCancellation: value })).toThrow(TypeError)
    expect([undefined, null, 1, {}].filter(isFrameProcessor)).toEqual([])
  })
})
