/** A room over a connection that carries nothing: what the server says, a test says. */
import { Room } from '../../index'
import type { RoomOptions } from '../../index'
import { environment } from '../../src/native/environment'
import type { LastWords, RoomConnection } from '../../src/connection/contract'
import { sessionOptions } from '../../src/session/session-options'
import type { RoomSignalRequest } from '../../src/signal/messages'

export class FakeConnection implements RoomConnection {
  readonly native = environment().binding.createServerSession(sessionOptions(undefined))
  readonly requests: RoomSignalRequest[] = []
  closed = false
  readonly channels = {
    maxMessageSize: 65_535,
    send: () => 0,
    flush: () => {},
    bufferedAmount: () => 0,
    reliableLimit: () => 65_536,
    watchBuffered: () => {},
  }

  sendRequest(request: RoomSignalRequest): void {
    // Of those of a long test none is looked at.
    if (this.requests.length < 1000) this.requests.push(request)
  }

  setRef(): void {
    // There is nothing that could keep the process.
  }

  stats(): undefined {
    return undefined
  }

  reconnectNow(): void {
    // It is never lost.
  }

  simulate(): void {
    // Nothing happens by itself.
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

/** A room that is attached, and waits for its `join`. */
export function fakeRoom(options: RoomOptions = {}): { room: Room; connection: FakeConnection } {
  const room = new Room(options)
  const connection = new FakeConnection()
  room.engine.attach(connection, 'me')
  return { room, connection }
}
