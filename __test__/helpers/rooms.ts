/** Two participants in a loopback, and ways to wait without sleeping. */
import { Loopback } from '../../index'
import type {
  DataTrackPublishOptions,
  DataTrackStream,
  DecodingSubscribeOptions,
  DataTrackSubscribeOptions,
  LocalDataTrack,
  LoopbackJoinOptions,
  LoopbackNetworkOptions,
  RemoteDataTrack,
  Room,
} from '../../index'

export interface Pair {
  readonly sfu: Loopback
  readonly alice: Room
  readonly bob: Room
}

/** Runs `use` with alice and bob, and ends everything afterwards. */
export async function withPair(
  use: (pair: Pair) => Promise<void>,
  network: LoopbackNetworkOptions = {},
  joining: { alice?: LoopbackJoinOptions; bob?: LoopbackJoinOptions } = {},
): Promise<void> {
  const sfu = new Loopback({ seed: 1, ...network })
  try {
    await use({ sfu, alice: sfu.join('alice', joining.alice), bob: sfu.join('bob', joining.bob) })
  } finally {
    sfu.close()
  }
}

/** Publishes a track of alice. Returns it, and the same track as bob has it. */
export async function publish<T>(
  { alice, bob }: Pair,
  options: Partial<DataTrackPublishOptions<T>> = {},
): Promise<{ local: LocalDataTrack<any>; remote: RemoteDataTrack }> {
  const local = await alice.localParticipant.publishDataTrack({ name: 'track', ...options })
  const remote = await bob.remoteParticipants.get('alice')!.dataTracks.getDeferred(local.name)
  return { local, remote }
}

/** Subscribes and waits until the SFU forwards. Signalling in the loopback takes microtasks, so one turn is enough. */
export async function subscribe<T = never>(
  remote: RemoteDataTrack,
  options: DataTrackSubscribeOptions & Partial<DecodingSubscribeOptions<T>> = {},
): Promise<DataTrackStream<any>> {
  const stream = remote.subscribe(options as DecodingSubscribeOptions<T>)
  await turn()
  return stream
}

/** Reads so many frames. */
export async function take(stream: DataTrackStream<any>, count: number): Promise<any[]> {
  const frames = []
  while (frames.length < count) {
    const frame = await stream.read()
    if (frame === undefined) throw new Error(`the stream ended after ${frames.length} frames`)
    frames.push(frame)
  }
  return frames
}

/** Waits for a turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Waits, turn by turn of the event loop, until the condition is true. The timeout of the test is the limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn()
}

/** Collects garbage until the condition is true. Needs `--expose-gc`. */
export async function collectedWhen(condition: () => boolean): Promise<void> {
  await until(() => {
    gc!()
    return condition()
  })
}

/** The error with which a promise rejects. Fails if it resolves. */
export async function rejection(promise: Promise<unknown>): Promise<any> {
  let value: unknown
  try {
    value = await promise
  } catch (error) {
    return error
  }
  throw new Error(`resolved with ${String(value)}`)
}

/** The error that a function throws. Fails if it throws none. */
export function thrown(call: () => unknown): any {
  try {
    call()
  } catch (error) {
    return error
  }
  throw new Error('did not throw')
}
