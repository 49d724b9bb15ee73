/**
 * What the link does to packets, in both directions unless one is named. Options that are not given stay as they are.
 */
export interface NetworkChange {
  /** `up`: from near to far. */
  readonly direction?: 'up' | 'down'
  readonly delayMs?: number
  /** Upper bound of the random extra delay. */
  readonly jitterMs?: number
  /** Shares of the packets, 0 to 1. */
  readonly loss?: number
  readonly duplicate?: number
  readonly reorder?: number
  readonly reorderMs?: number
  /** 0: no limit. */
  readonly bytesPerSecond?: number
  /** Most bytes that may wait for their turn, or for the end of a stall. Default: 256 KiB. */
  readonly queueBytes?: number
  /** No packet arrives. Packets that are sent wait in the queue. */
  readonly stall?: boolean
  /** No packet arrives. Packets that are sent are dropped. */
  readonly cut?: boolean
  /** The same for UDP alone. The sender does not learn of it. */
  readonly cutUdp?: boolean
}

/** What happened to the packets of a direction. */
export interface NetworkCounters {
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

/** A network namespace. */
export class Namespace {
  readonly name: string
  /** Its end of the link. */
  readonly address: string
  /** The command line that runs another one in this namespace. The process keeps its id, so it can be killed by it. */
  command(command: string, args?: readonly string[]): readonly [string, string[]]
  /** Configures the namespace: the arguments that follow `ip -n <name>`. */
  ip(...args: string[]): void
  /** Whether UDP packets that are sent from here have no destination. */
  blockUdp(blocked: boolean): void
  /** Drops what is sent to that TCP port. */
  blockTcp(port: number): void
  /** Drops what is sent to all other TCP ports. */
  allowTcpOnly(port: number): void
}

/** A running link with its two namespaces. */
export class BadNetwork {
  readonly near: Namespace
  readonly far: Namespace
  private constructor()
  /** Runs `use` with a link that does nothing to packets yet. Removes the link afterwards. */
  static with<T>(use: (network: BadNetwork) => Promise<T>, seed?: number): Promise<T>
  static start(seed?: number): Promise<BadNetwork>
  /** Changes what the link does from now on. Resolves with the counters once the change is in effect. */
  set(change: NetworkChange): Promise<{ up: NetworkCounters; down: NetworkCounters }>
  /** What happened to the packets so far. */
  counters(): Promise<{ up: NetworkCounters; down: NetworkCounters }>
  /** Ends the link and removes the namespaces. Programs in them should have ended before. Idempotent. */
  close(): Promise<void>
}

/** Where `buildBadNetwork` puts the program that carries the packets. */
export const programPath: string
