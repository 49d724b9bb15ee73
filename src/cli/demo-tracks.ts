/** What the demo publishes, and how its frames tell when they were sent. */
import { cpus, freemem, loadavg, totalmem } from 'node:os'
import { json } from '../base/codec'
import type { DataTrackFrame } from '../data-track/frame'
import type { RemoteDataTrack } from '../data-track/remote'
import { DataTrackPushFrameError } from '../base/errors'
import type { LocalParticipant } from '../room/participant'
import { Meter } from './meter'
import { pace } from '../check/pace'

/** One of the demo's tracks: its rate and size, and its counters on both ends. */
export interface DemoTrack {
  readonly name: string
  /** For people: what it carries and how often. */
  readonly what: string
  readonly meter: Meter
  /** Publishes until the signal aborts; resolves when it is published. */
  publish(participant: LocalParticipant, signal: AbortSignal): Promise<PublishedDemoTrack>
  /** Subscribes; what it returns is read until the track or the signal ends. */
  subscribe(track: RemoteDataTrack, signal: AbortSignal): SubscribedDemoTrack
}

/** Something with counters of what it dropped, by reason. */
export interface Dropping {
  stats(): { readonly dropped: Readonly<Record<string, number | undefined>> }
}

/** What the summary asks a published track. */
export interface PublishedDemoTrack extends Dropping {
  stats(): { readonly pushed: number; readonly dropped: Readonly<Record<string, number | undefined>> }
}

/** A stream of the demo and what reads it. */
export interface SubscribedDemoTrack {
  readonly stream: Dropping
  read(): Promise<void>
}

/** This machine's state, as the telemetry track carries it. */
export interface Telemetry {
  /** The sender's `performance.now()`, ms. */
  readonly sentAt: number
  /** Load average over a minute. */
  readonly load: number
  /** Share of the memory that is in use, 0 to 1. */
  readonly memory: number
  /** This process: resident memory in bytes, and processor time in µs. */
  readonly rss: number
  readonly cpu: number
  readonly cpus: number
}

/** Reads this machine's state. */
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

/** The three tracks of the demo: typed telemetry, a fast small one, a slow large one. */
export function demoTracks(): readonly DemoTrack[] {
  return [
    telemetryTrack('telemetry', 10),
    binaryTrack('joints', 'joint states', 256, 1000),
    binaryTrack('points', 'point cloud', 200_000, 20),
  ]
}

function telemetryTrack(name: string, rate: number): DemoTrack {
  const meter = new Meter()
  const codec = json<Telemetry>()
  return {
    name,
    what: `this machine, JSON, ${rate} Hz`,
    meter,
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
  }
}

/** Frames of `bytes` bytes that start with the time of sending. */
function binaryTrack(name: string, what: string, bytes: number, rate: number): DemoTrack {
  const meter = new Meter()
  const payload = new Uint8Array(bytes)
  const head = new DataView(payload.buffer)
  return {
    name,
    what: `${what}, ${bytes.toLocaleString('en')} B, ${rate.toLocaleString('en')} Hz`,
    meter,
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
  }
}

function sentAt({ payload }: DataTrackFrame): number {
  return new DataView(payload.buffer, payload.byteOffset, payload.byteLength).getFloat64(0)
}

/** Counts what was accepted; while the connection is being rebuilt, frames are simply not sent. */
function push(meter: Meter, send: () => void): void {
  try {
    send()
    meter.sent()
  } catch (error) {
    if (!(error instanceof DataTrackPushFrameError)) throw error
  }
}
