/** What the link does to packets, of both directions unless told; what is not named stays as it is. */
export interface LinkChange {
  /** `up`: from near to far. */
  readonly direction?: 'up' | 'down'
  readonly delayMs?: number
  /** Up to so much more, by chance. */
  readonly jitterMs?: number
  /** Shares of the packets, 0 to 1. */
  readonly loss?: number
  readonly duplicate?: number
  readonly reorder?: number
  readonly reorderMs?: number
  /** 0: no limit. */
  readonly bytesPerSecond?: number
  /** What waits for its turn, or for the end of a stall, at most. Default: 256 KiB. */
  readonly queueBytes?: number
  /** Nothing arrives; what is sent waits in the queue. */
  readonly stall?: boolean
  /** Nothing arrives; what is sent is dropped. */
  readonly cut?: boolean
}

/** What happened to the packets of a direction. */
export interface LinkCounters {
  readonly received: number
  readonly receivedBytes: number
  readonly delivered: number
  readonly deliveredBytes: number
  readonly duplicated: number
  readonly reordered: number
  readonly lost: number
  readonly dropped: number
  readonly queued: number
  readonly queuedBytes: number
}

/** A network of its own. */
export class Namespace {
  readonly name: string
  /** Its end of the link. */
  readonly address: string
  /** The command line that runs another one in here. The process keeps its id: it can be killed by it. */
  command(command: string, args?: readonly string[]): readonly [string, string[]]
  /** Configures it: what comes behind `ip -n <name>`. */
  ip(...args: string[]): void
  /** Whether UDP packets that are sent from here go nowhere. */
  blockUdp(blocked: boolean): void
}

/** A running link with its two namespaces. */
export class BadNetwork {
  readonly near: Namespace
  readonly far: Namespace
  private constructor()
  /** Runs `use` with a link, which does nothing to packets yet, and takes everything down afterwards. */
  static with<T>(use: (network: BadNetwork) => Promise<T>, seed?: number): Promise<T>
  static start(seed?: number): Promise<BadNetwork>
  /** Changes what the link does, from now on. Resolves, when it does, with the counters. */
  set(change: LinkChange): Promise<{ up: LinkCounters; down: LinkCounters }>
  /** What happened to the packets so far. */
  counters(): Promise<{ up: LinkCounters; down: LinkCounters }>
  /** Ends the link and removes the namespaces. What runs in them should be over. Idempotent. */
  close(): Promise<void>
}

/** Where `buildLink` puts the program that carries the packets. */
export const linkPath: string
