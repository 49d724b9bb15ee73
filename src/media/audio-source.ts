/** Where a published audio track gets its sound from. */
import * as check from '../base/arguments'
import { Deferred } from '../base/abort'
import { AudioSourceError } from '../base/errors'
import { environment } from '../native/environment'
import type { NativeAudioSource, NativeEvent } from '../native/native'
import { checkedFrame } from './audio-frame'
import type { CapturedFrame } from './audio-frame'

/** @internal The longest queue, in ms. Rust: `MAX_QUEUE` in `crates/node/src/audio_source.rs`. */
export const MAX_QUEUE = 600_000

/** Samples of a call of `captureFrame` that did not fit into the queue. */
interface Waiting {
  readonly samples: Uint8Array
  taken: number
  readonly done: Deferred<void>
}

/**
 * Sources whose calls wait. They are kept from being collected, and they keep the process alive. The native side holds
 * them weakly.
 */
const busy = new Set<AudioSource>()
let keepsAlive: NodeJS.Timeout | undefined

function setBusy(source: AudioSource, isBusy: boolean): void {
  if (isBusy) busy.add(source)
  else busy.delete(source)
  if (busy.size === 0) {
    clearInterval(keepsAlive)
    keepsAlive = undefined
  } else keepsAlive ??= setInterval(() => {}, 0x7fff_ffff)
}

const collected = new FinalizationRegistry<number>((id) => environment().removeSession(id))

/**
 * Where a published audio track gets its sound from. A program captures frames into the source, and the source sends
 * them in real time: 20 ms at a time.
 *
 *     const source = new AudioSource(24_000, 1)
 *     const track = LocalAudioTrack.createAudioTrack('voice', source)
 *     await room.localParticipant.publishTrack(track)
 *     for await (const frame of speech) await source.captureFrame(frame)
 *     await source.waitForPlayout()
 *
 * The source goes on in real time whether a track of it is published or not, and whether the room is connected or not.
 * What is captured while nothing can be sent is lost. When nothing more is captured, the source sends 300 ms of silence
 * at most, and then nothing.
 */
export class AudioSource {
  /** Samples a second and channel. */
  readonly sampleRate: number
  /** 1 or 2. */
  readonly numChannels: number
  /** ms that may wait. */
  readonly queueSize: number
  readonly #native: NativeAudioSource
  readonly #waiting: Waiting[] = []
  readonly #playouts: Deferred<void>[] = []
  #dropped = 0
  #closed = false

  /**
   * @param sampleRate samples a second and channel, 8000 to 48000. The codec itself has 8000, 12000, 16000, 24000 and
   * 48000; other rates are converted to 48000
   * @param numChannels 1 or 2
   * @param queueSize ms that may wait before {@link captureFrame} waits, too: 0 to 600,000; at least 40 in any case.
   * Use 0 for sound that comes in real time, as from a microphone: then at most one call of {@link captureFrame} waits,
   * and a later one takes its place. Default: 1000
   * @throws `TypeError` or `RangeError` that names the argument
   */
  constructor(sampleRate: number, numChannels: number, queueSize = 1000) {
    this.sampleRate = check.integer('sampleRate', sampleRate, 48_000, 8000, 48_000)
    this.numChannels = check.integer('numChannels', numChannels, 1, 1, 2)
    this.queueSize = check.integer('queueSize', queueSize, 1000, 0, MAX_QUEUE)
    this.#native = environment().binding.createAudioSource(this.sampleRate, this.numChannels, this.queueSize)
    environment().addSession(this.#native.id, this, true)
    collected.register(this, this.#native.id)
  }

  /** Whether {@link close} was called. */
  get isClosed(): boolean {
    return this.#closed
  }

  /** How much of the captured sound was not sent yet, in ms. */
  get queuedDuration(): number {
    return this.#native.queuedMs() + this.#ms(this.#waitingBytes())
  }

  /**
   * How much of the captured sound was dropped, in ms, because later sound came while it waited. Only with a
   * {@link queueSize} of 0.
   */
  get droppedDuration(): number {
    return this.#ms(this.#dropped)
  }

  /** @internal The number of the native source. */
  get id(): number {
    return this.#native.id
  }

  /**
   * Captures a frame of any length. The promise resolves when all of it is in the queue: at once if it fits. Frames are
   * sent in the order of the calls, also if the program does not await them. The samples are copied.
   *
   * With a {@link queueSize} of 0, a call that still waits resolves as soon as there is a later one, and what is left of
   * its frame is dropped. Otherwise each moment for which the program or the machine is busy would delay all that
   * follows, and so would the difference of two clocks.
   *
   * @throws `AudioSourceError` (`closed`); `TypeError` or `RangeError` that names what is wrong with the frame: another
   * rate, another number of channels, or samples that are not as many as it says
   */
  async captureFrame(frame: CapturedFrame): Promise<void> {
    const samples = this.#checkFrame(frame)
    if (this.#closed) throw new AudioSourceError('closed')
    if (samples.length > 0 && this.queueSize === 0) this.#dropWaiting()
    const taken = this.#waiting.length === 0 ? this.#native.capture(samples) : 0
    if (taken === samples.length) return
    const done = new Deferred<void>()
    this.#waiting.push({ samples: samples.slice(taken), taken: 0, done })
    setBusy(this, true)
    await done.promise
  }

  /**
   * Drops what was not sent yet. All calls of {@link captureFrame} and {@link waitForPlayout} that wait resolve. Does
   * nothing after {@link close}.
   */
  clearQueue(): void {
    if (this.#closed) return
    this.#native.clear()
    this.#settle()
  }

  /** Resolves when all that was captured is sent, dropped by {@link clearQueue}, or lost by {@link close}. */
  async waitForPlayout(): Promise<void> {
    if (this.#closed || (this.#waiting.length === 0 && this.#native.watchEmpty())) return
    const played = new Deferred<void>()
    this.#playouts.push(played)
    setBusy(this, true)
    await played.promise
  }

  /**
   * Ends the source. What was not sent is dropped, and calls of {@link captureFrame} that wait reject with
   * `AudioSourceError` (`closed`). Published tracks of the source stay published, and are silent. Idempotent.
   */
  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true
      environment().removeSession(this.#native.id)
      this.#native.close()
      this.#settle(new AudioSourceError('closed'))
    }
    return Promise.resolve()
  }

  /** The same as {@link close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** @internal */
  handleEvent(event: NativeEvent): void {
    if (event.type !== 'audioProgress' || this.#closed) return
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      next.taken += this.#native.capture(next.samples.subarray(next.taken))
      if (next.taken < next.samples.length) return
      this.#waiting.shift()
      next.done.resolve()
    }
    if (this.#playouts.length === 0 || this.#native.watchEmpty()) this.#settle()
  }

  #dropWaiting(): void {
    this.#dropped += this.#waitingBytes()
    for (const { done } of this.#waiting.splice(0)) done.resolve()
    setBusy(this, this.#playouts.length > 0)
  }

  /** Bytes that did not fit into the queue. */
  #waitingBytes(): number {
    let bytes = 0
    for (const { samples, taken } of this.#waiting) bytes += samples.length - taken
    return bytes
  }

  #ms(bytes: number): number {
    return (500 * bytes) / (this.sampleRate * this.numChannels)
  }

  #settle(error?: AudioSourceError): void {
    setBusy(this, false)
    for (const { done } of this.#waiting.splice(0)) {
      if (error === undefined) done.resolve()
      else done.reject(error)
    }
    for (const played of this.#playouts.splice(0)) played.resolve()
  }

  #checkFrame(frame: CapturedFrame): Uint8Array {
    const { data } = checkedFrame('frame', frame, this.sampleRate, this.numChannels)
    return check.bytes('frame.data', new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  }
}
