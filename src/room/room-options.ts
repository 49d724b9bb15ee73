/** The options that a room is created with. */
import type { DataStreamLimits } from '../data-stream/limits'
import type { EncryptionOptions } from '../e2ee/session-encryption'
import type { ReconnectPolicy } from '../connection/reconnect-policy'
import type { RpcLimits } from '../rpc/limits'

/** Options of a room. */
export interface RoomOptions {
  /**
   * End-to-end encryption of the data tracks, data packets and streams; see {@link EncryptionOptions}. Default: none.
   */
  readonly encryption?: EncryptionOptions | undefined
  /** Limits of the data streams that remote participants send; see {@link DataStreamLimits}. */
  readonly dataStreams?: DataStreamLimits | undefined
  /** Limits of the calls that the room answers. */
  readonly rpc?: RpcLimits | undefined
  /** Decides on the attempts to reconnect. Default: a `DefaultReconnectPolicy`. */
  readonly reconnectPolicy?: ReconnectPolicy | undefined
}
