/**
 * Who subscribes to the tracks of a room, where the server does not say: the rooms of this package ask and tell each
 * other. It lives as long as the room, across connections.
 */
import { log } from '../../base/logging'
import type { RoomRpc } from '../../rpc/room-rpc'
import { RpcError } from '../../rpc/rpc-error'
import type { RpcInvocationData } from '../../rpc/invocation'
import type { Session } from '../../session/session'
import { DemandAsker } from './asker'
import { DEMAND_METHOD, parseDemand } from './messages'
import type { DemandParticipant, DemandRoom } from './participants'
import { DemandTeller } from './teller'

/** See the top of this file. */
export class RoomDemand {
  readonly #participants: ReadonlyMap<string, DemandParticipant>
  readonly #asker: DemandAsker
  readonly #teller: DemandTeller
  readonly #listens: () => boolean
  #warned = false

  /** `listens`: whether the application listens for changes. */
  constructor(
    participants: ReadonlyMap<string, DemandParticipant>,
    { client, server }: Pick<RoomRpc, 'client' | 'server'>,
    session: () => Session | undefined,
    listens: () => boolean,
  ) {
    this.#participants = participants
    this.#listens = listens
    const room: DemandRoom = {
      participants,
      call: (destinationIdentity, method, payload, responseTimeout) =>
        client.performRpc({ destinationIdentity, method, payload, responseTimeout }),
    }
    this.#asker = new DemandAsker(room, {
      handles: () => session()?.publishedHandles() ?? [],
      announce: (handle, hasSubscribers) => session()?.announceDemand(handle, hasSubscribers),
    })
    this.#teller = new DemandTeller(room)
    server.registerReserved(DEMAND_METHOD, (call) => this.#called(call))
  }

  /** The application asks. */
  want(): void {
    this.#asker.want()
  }

  /** A local track was published. */
  published(handle: number): void {
    if (this.#listens()) this.#asker.want()
    this.#asker.published(handle)
  }

  /** The server forwards a remote track, or does so no longer. */
  forwarded(publisherIdentity: string, handle: number, forwarded: boolean): void {
    this.#teller.forwarded(publisherIdentity, handle, forwarded)
  }

  /** A participant has joined, has left, or has a new session. */
  changed(identity: string): void {
    this.#teller.forget(identity)
    this.#asker.changed(identity)
  }

  /** A participant is active. */
  active(participant: DemandParticipant): void {
    this.#asker.active(participant)
  }

  /** The local connection was rebuilt. Its `join` message comes next. */
  rebuilt(): void {
    this.#asker.rebuilt()
  }

  /** Follows {@link rebuilt}: the participants are known. */
  rejoined(): void {
    this.#asker.rejoined()
  }

  /** The room is disconnected. */
  close(): void {
    this.#teller.close()
    this.#asker.close()
    this.#warned = false
  }

  #called({ callerIdentity, payload }: RpcInvocationData): string {
    const message = parseDemand(payload)
    if (message === undefined) {
      this.#warn()
      throw RpcError.builtIn('APPLICATION_ERROR')
    }
    // A hidden participant has no identity here. Nothing could be told to it, or kept of it.
    if (!this.#participants.has(callerIdentity)) throw RpcError.builtIn('APPLICATION_ERROR')
    if (message === 'ask') return this.#teller.asked(callerIdentity)
    this.#asker.heard(callerIdentity, message)
    return ''
  }

  #warn(): void {
    if (this.#warned) return
    this.#warned = true
    log('warn', 'room', `a participant sent something malformed to ${DEMAND_METHOD}; it is ignored`)
  }
}
