/** A room of this package, and a participant of another SDK that publishes tones or hears them. */
import { once } from 'node:events'
import { Room } from '../../../index'
import type { ConnectOptions, RoomEvents, RoomOptions } from '../../../index'
import type { LivekitServer } from '../../helpers/livekit-server'
import type { TonePeer, ToneSdk } from './tones'

export interface Stage {
  /** Not connected yet. */
  readonly ours: Room
  /** `url`: that of the server, unless something stands in between. */
  readonly connect: (options?: ConnectOptions, url?: string) => Promise<void>
  readonly peer: TonePeer
}

let rooms = 0

/**
 * Runs `use` with a peer that is in a room, and with a room of ours for it. `usual`: how ours connects, unless told
 * otherwise. `passphrase`: the peer's, for encryption.
 */
export function stages(server: LivekitServer, usual: ConnectOptions) {
  return async (
    sdk: ToneSdk,
    use: (stage: Stage) => Promise<void>,
    options: RoomOptions = {},
    passphrase: string | null = null,
  ): Promise<void> => {
    const name = `tones ${(rooms += 1)}`
    const peer = await sdk.start()
    const ours = new Room(options)
    try {
      await peer.join(server.url, await server.token(name, 'peer'), passphrase)
      await use({
        ours,
        peer,
        connect: async (connect = usual, url = server.url) => {
          await ours.connect(url, await server.token(name, 'ours'), connect)
        },
      })
    } finally {
      await ours.disconnect()
      await peer.close()
    }
  }
}

/** Resolves with the arguments of the next event. */
export async function next<Name extends keyof RoomEvents>(
  room: Room,
  event: Name,
): Promise<Parameters<RoomEvents[Name]>> {
  return (await once(room as never, event)) as Parameters<RoomEvents[Name]>
}
