/** A participant of whatever SDK, as the tests use it. */
import type { Received, Run } from './pattern'

export type PeerKind = 'ours' | 'python' | 'chromium'

/** The keys of an encrypted room. */
export interface Keys {
  /** `passphrase`: PBKDF2, in all SDKs. `raw`: bytes, and HKDF, as browsers have it for an `ArrayBuffer`. */
  readonly kind: 'passphrase' | 'raw'
  /** One key for all, or one for each participant. */
  readonly shared: boolean
  /** Ratchet steps that a receiver follows. Browsers follow none for data tracks, whatever is said. */
  readonly ratchetWindow?: number
  readonly set: readonly Key[]
}

export interface Key {
  /** Whose; only where keys are not shared. */
  readonly identity?: string
  readonly keyIndex: number
  /** A passphrase, or bytes in hexadecimal. */
  readonly key: string
}

/** Where a participant goes. */
export interface JoinSpec {
  readonly url: string
  readonly token: string
  /** `null`: no encryption. */
  readonly keys: Keys | null
  /** Ours only. */
  readonly peerConnections?: 'auto' | 'single' | 'dual'
}

export interface Peer {
  readonly kind: PeerKind
  /** Connects. */
  join(spec: JoinSpec): Promise<void>
  publish(track: string): Promise<{ usesE2ee: boolean }>
  unpublish(track: string): Promise<void>
  /** Waits for the track and subscribes; from then on, what comes is checked as frames of the run. */
  subscribe(run: Run): Promise<void>
  unsubscribe(track: string): Promise<void>
  /** Sends frames that are no part of the run, until {@link unmark}: `warm` ones of the run's size or of one packet, `end` ones of a byte. */
  mark(run: Run, mark: 'warm' | 'end'): Promise<void>
  unmark(track: string): Promise<void>
  /** Waits for so many `warm` frames. */
  warmed(track: string, count: number): Promise<void>
  /** Sends the run; `refused`: frames that the SDK took with an error. */
  send(run: Run): Promise<{ refused: number }>
  /** Waits for so many different frames, or for garbage. */
  arrived(track: string, count: number): Promise<void>
  /** Waits for all frames, or for an `end` frame and {@link GRACE} ms after it without another frame. */
  received(track: string): Promise<Received>
  /** What has come so far. */
  peek(track: string): Promise<Received>
  /** Sets a key: for receiving at once, for sending as the SDK has it (others than ours: at once). */
  setKey(key: Key): Promise<void>
  ratchetKey(key: Omit<Key, 'key'>): Promise<void>
  /** Leaves the room; the peer can join another. */
  leave(): Promise<void>
}

/** ms without a frame after the end of a run. */
export const GRACE = 300

/** A peer in another process, which is told what to do by messages. */
export abstract class RemotePeer implements Peer {
  abstract readonly kind: PeerKind
  protected abstract call(command: string, argument: unknown): Promise<any>
  abstract close(): Promise<void>

  join = (spec: JoinSpec): Promise<void> => this.call('join', spec)
  publish = (track: string): Promise<{ usesE2ee: boolean }> => this.call('publish', { track })
  unpublish = (track: string): Promise<void> => this.call('unpublish', { track })
  subscribe = (run: Run): Promise<void> => this.call('subscribe', run)
  unsubscribe = (track: string): Promise<void> => this.call('unsubscribe', { track })
  mark = (run: Run, mark: 'warm' | 'end'): Promise<void> => this.call('mark', { ...run, mark })
  unmark = (track: string): Promise<void> => this.call('unmark', { track })
  warmed = (track: string, count: number): Promise<void> => this.call('warmed', { track, count })
  send = (run: Run): Promise<{ refused: number }> => this.call('send', run)
  arrived = (track: string, count: number): Promise<void> => this.call('arrived', { track, count })
  received = (track: string): Promise<Received> => this.call('received', { track, grace: GRACE })
  peek = (track: string): Promise<Received> => this.call('peek', { track })
  setKey = (key: Key): Promise<void> => this.call('setKey', key)
  ratchetKey = (key: Omit<Key, 'key'>): Promise<void> => this.call('ratchetKey', key)
  leave = (): Promise<void> => this.call('leave', {})
}
