/**
 * The RPC of a room: both managers over the room's data packets and streams. It lives as long as the room, across
 * connections.
 */
import type { PacketHandlers } from '../data-packet/receiver'
import type { PacketSender } from '../data-packet/sender'
import type { DataStreams } from '../data-stream/data-streams'
import { checkCall, RpcClientManager } from './client-manager'
import type { PerformRpcParams } from './client-manager'
import { RpcInterceptors } from './interceptors'
import * as check from '../base/arguments'
import { checkRpcLimits } from './limits'
import type { RpcLimits } from './limits'
import { RpcServerManager } from './server-manager'
import { REQUEST_TOPIC, RESPONSE_TOPIC } from './transport'
import type { RpcTransport } from './transport'

/** What RPC needs from its room. */
export type RpcRoom = Pick<RpcTransport, 'connected' | 'serverVersion' | 'clientProtocol'>

/** See the top of this file. */
export class RoomRpc {
  readonly client: RpcClientManager
  readonly server: RpcServerManager
  readonly interceptors = new RpcInterceptors()

  /** @throws `TypeError` or `RangeError` that names the limit */
  constructor(
    sender: () => PacketSender,
    streams: DataStreams,
    room: RpcRoom,
    limits: RpcLimits | undefined,
  ) {
    // There is always a destination, because a packet without one goes to all participants. No participant has the
    // empty identity.
    const transport: RpcTransport = {
      ...room,
      allowed: () => sender().allowed,
      sendPacket: (packet, identity, later) =>
        sender().sendReliable(packet, { destinationIdentities: [identity], awaited: false, later }),
      sendShortText: (text, identity) =>
        streams.outgoing.sendShortText(text, { destinationIdentities: [identity], awaited: false }),
      sendText: (text, identity, signal) =>
        streams.outgoing.sendLongText(text, {
          destinationIdentities: [identity],
          senderIdentity: undefined,
          signal,
        }),
    }
    this.client = new RpcClientManager(transport)
    this.server = new RpcServerManager(transport, checkRpcLimits(limits), this.interceptors)
    streams.handleText(REQUEST_TOPIC, (reader, { identity }) =>
      this.server.handleRequestStream(reader, identity),
    )
    streams.handleText(RESPONSE_TOPIC, (reader, { identity }) =>
      this.client.handleResponseStream(reader, identity),
    )
  }

  /** See {@link LocalParticipant.performRpc}. */
  async performRpc(params: PerformRpcParams): Promise<string> {
    if (this.interceptors.none) return await this.client.performRpc(params)
    checkCall(params)
    const perform = this.interceptors.outgoing((call) => this.client.performRpc(call))
    return check.string('the result of interceptOutgoing', await perform(params))
  }

  /** The handlers of RPC's packets. */
  packetHandlers(): Pick<PacketHandlers, 'rpcRequest' | 'rpcAck' | 'rpcResponse'> {
    return {
      rpcRequest: (packet) => this.server.handleRequest(packet),
      rpcAck: (packet) => this.client.handleAck(packet),
      rpcResponse: (packet) => this.client.handleResponse(packet),
    }
  }

  handleParticipantConnected(identity: string): void {
    this.client.handleParticipantConnected(identity)
  }

  handleParticipantDisconnected(identity: string): void {
    this.client.handleParticipantDisconnected(identity)
    this.server.handleParticipantDisconnected(identity)
  }

  /** The connection has ended. Calls settle; handlers stay. */
  close(): void {
    this.client.close()
    this.server.close()
  }
}
