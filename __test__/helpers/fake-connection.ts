/** A room over a connection without a server. The test hands the server's messages to the room. */
import { Room } from '../../index'
import type { RoomOptions } from '../../index'
import { environment } from '../../src/native/environment'
import type { ConnectionCredentials, LastWords, RoomConnection } from '../../src/connection/contract'
import { sessionOptions } from '../../src/session/session-options'
import type { RoomSignalRequest } from '../../src/signal/messages'

export class FakeConnection implements RoomConnection {
  readonly native = environment().binding.createServerSession(sessionOptions(undefined))
  readonly autoSubscribe = true
  credentials: ConnectionCredentials | undefined
  readonly requests: RoomSignalRequest[] = []
  readonly recovered: number[] = []
  joinedTracks: readonly string[] = []
  closed = false
  readonly channels = {
    maxMessageSize: 65_535,
    send: () => 0,
    flush: () => {},
    bufferedAmount: () => 0,
    reliableLimit: () => 65_536,
    watchBuffered: () => {},
  }

  recoverSections(missing: number): void {
    this.recovered.push(missing)
  }

  readonly sending: (readonly string[])[] = []

  setSending(cids: readonly string[]): void {
    this.sending.push(cids)
  }

  sendRequest(request: RoomSignalRequest): void {
    // The limit keeps memory small in long tests. Those do not look at the requests.
    if (this.requests.length < 1000) this.requests.push(request)
  }

  setRef(): void {
    // This connection has no socket or timer that could keep the process running.
  }

  stats(): undefined {
    return undefined
  }

  reconnectNow(): void {
    // This connection is never lost.
  }

  simulate(): void {
    // A scenario is a request to a server, and there is none.
  }

  leave(words: LastWords): Promise<void> {
    words.close()
    this.close()
    return Promise.resolve()
  }

  close(): void {
    this.closed = true
    this.native.close()
  }
}

/** A room that is attached to the connection, and that has not received its `join` yet. */
export function fakeRoom(options: RoomOptions = {}): { room: Room; connection: FakeConnection } {
  const room = new Room(options)
  const connection = new FakeConnection()
  room.engine.attach(connection, 'me')
  return { room, connection }
}
