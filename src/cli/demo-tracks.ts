/** The data tracks of the demo. Their frames contain the time of sending, so that the receiver can measure the latency. */
import { cpus, freemem, loadavg, totalmem } from 'node:os'
import { json } from '../base/codec'
import type { DataTrackFrame } from '../data-track/frame'
import type { RemoteDataTrack } from '../data-track/remote'
import { DataTrackPushFrameError } from '../base/errors'
import type { LocalParticipant } from '../room/local-participant'
import type { Room } from '../room/room'
import { Meter } from './meter'
import { pace } from '../check/pace'

/** One of the demo's tracks, with the meter that counts its frames on both ends. */
export interface DemoTrack {
  readonly name: string
  /** Description for the table: the content, size and rate of the frames. */
  readonly what: string
  readonly meter: Meter
  /** Publishes the track, subscribes to it, and sends frames until the signal aborts. */
  start(publisher: Room, subscriber: Room, signal: AbortSignal): Promise<StartedDemoTrack>
}

/** A track that is published and subscribed to. */
export interface StartedDemoTrack {
  readonly published: PublishedDemoTrack
  /** Other objects on a frame's way that may drop it and count that. */
  readonly dropping: readonly Dropping[]
  /** Reads until the track ends or the signal aborts. */
  read(): Promise<void>
}

/** An object that counts the frames that it dropped, by reason. */
export interface Dropping {
  stats(): { readonly dropped: Readonly<Record<string, number | undefined>> }
}

/** The counters of a published track that the reports use. */
export interface PublishedDemoTrack extends Dropping {
  stats(): { readonly pushed: number; readonly dropped: Readonly<Record<string, number | undefined>> }
}

/** The two ends of a data track. */
interface DataTrackEnds {
  /** Publishes the track and sends frames until the signal aborts. */
  readonly publish: (participant: LocalParticipant, signal: AbortSignal) => Promise<PublishedDemoTrack>
  /** Subscribes to the track: the stream, and what reads it. */
  readonly subscribe: (
    track: RemoteDataTrack,
    signal: AbortSignal,
  ) => { readonly stream: Dropping; readonly read: () => Promise<void> }
}

/** The state of this machine: the payload of the telemetry track. */
export interface Telemetry {
  /** The sender's `performance.now()`, ms. */
  readonly sentAt: number
  /** Load average over the last minute. */
  readonly load: number
  /** Share of the memory that is in use, 0 to 1. */
  readonly memory: number
  /** Of this process: resident memory in bytes, and CPU time in µs. */
  readonly rss: number
  readonly cpu: number
  readonly cpus: number
}

/** Reads the state of this machine. */
export function telemetry(): Telemetry {
  const { user, system } = process.cpuUsage()
  return {
    sentAt: performance.now(),
    load: loadavg()[0] ?? 0,
    memory: 1 - freemem() / totalmem(),
    rss: process.memoryUsage.rss(),
    cpu: user + system,
    cpus: cpus().length,
  }
}

/** The three data tracks of the demo: typed telemetry, small frames at a high rate, large frames at a low rate. */
export function demoTracks(): readonly DemoTrack[] {
  return [
    telemetryTrack('telemetry', 10),
    binaryTrack('joints', 'joint states', 256, 1000),
    binaryTrack('points', 'point cloud', 200_000, 20),
  ]
}

/** Starts a data track. */
function starting(name: string, { publish, subscribe }: DataTrackEnds): DemoTrack['start'] {
  return async (publisher, subscriber, signal) => {
    const remote = firstTrack(subscriber, name, signal)
    const published = await publish(publisher.localParticipant, signal)
    const subscribed = await remote
    const { stream, read } = subscribe(subscribed, signal)
    return { published, dropping: [subscribed, stream], read }
  }
}

async function firstTrack(room: Room, name: string, signal: AbortSignal): Promise<RemoteDataTrack> {
  for await (const track of room.dataTracks({ name, signal })) return track
  throw new Error(`the room closed before the track ${name} appeared`)
}

function telemetryTrack(name: string, rate: number): DemoTrack {
  const meter = new Meter()
  const codec = json<Telemetry>()
  return {
    name,
    what: `this machine, JSON, ${rate} Hz`,
    meter,
    start: starting(name, {
      async publish(participant, signal) {
        const track = await participant.publishDataTrack({ name, codec, signal })
        pace(rate, signal, () => push(meter, () => track.tryPush(telemetry())))
        return track
      },
      subscribe(track, signal) {
        const stream = track.subscribe({ codec, signal })
        const read = async (): Promise<void> => {
          for await (const frame of stream) {
            meter.received(frame.payload.byteLength, performance.now() - frame.value.sentAt)
          }
        }
        return { stream, read }
      },
    }),
  }
}

/** A track with frames of `bytes` bytes that start with the time of sending. */
function binaryTrack(name: string, what: string, bytes: number, rate: number): DemoTrack {
  const meter = new Meter()
  const payload = new Uint8Array(bytes)
  const head = new DataView(payload.buffer)
  return {
    name,
    what: `${what}, ${bytes.toLocaleString('en')} B, ${rate.toLocaleString('en')} Hz`,
    meter,
    start: starting(name, {
      async publish(participant, signal) {
        const track = await participant.publishDataTrack({ name, signal })
        pace(rate, signal, () => {
          head.setFloat64(0, performance.now())
          push(meter, () => track.tryPush({ payload }))
        })
        return track
      },
      subscribe(track, signal) {
        const stream = track.subscribe({ signal })
        const read = async (): Promise<void> => {
          for await (const frame of stream) {
            meter.received(frame.payload.byteLength, performance.now() - sentAt(frame))
          }
        }
        return { stream, read }
      },
    }),
  }
}

function sentAt({ payload }: DataTrackFrame): number {
  return new DataView(payload.buffer, payload.byteOffset, payload.byteLength).getFloat64(0)
}

/** Sends a frame and counts it. A frame that the track refuses, while the room is reconnecting, is not sent later. */
function push(meter: Meter, send: () => void): void {
  try {
    send()
    meter.sent()
  } catch (error) {
    if (!(error instanceof DataTrackPushFrameError)) throw error
  }
}
