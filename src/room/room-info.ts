/** The server's description of the room itself. */
import { isObject } from '../base/arguments'
import { RoomEvent } from './events'
import type { TellRoomEvent } from './events'
import type { ParticipantInfoMessage, SignalResponseLike } from '../signal/messages'
import { isParticipant } from './participant-info'
import type { Profile } from './profile'
import { timeOf } from './times'

/** `livekit.Room`, the fields used here. */
export interface RoomInfo {
  readonly sid: string
  readonly name: string
  readonly metadata: string
  readonly numParticipants: number
  readonly numPublishers: number
  readonly creationTime: Date | undefined
  readonly activeRecording: boolean
  /** Seconds. */
  readonly emptyTimeout: number
  readonly departureTimeout: number
}

/** Before the first connection. */
const noRoom: RoomInfo = {
  ...{ sid: '', name: '', metadata: '' },
  ...{ numParticipants: 0, numPublishers: 0, creationTime: undefined, activeRecording: false },
  ...{ emptyTimeout: 0, departureTimeout: 0 },
}

/** Missing fields count as empty. */
function roomInfoOf(message: unknown): RoomInfo {
  if (!isObject(message)) return noRoom
  const text = (value: unknown): string => (typeof value === 'string' ? value : '')
  const count = (value: unknown): number => (Number.isInteger(value) ? Math.max(0, value as number) : 0)
  return {
    sid: text(message['sid']),
    name: text(message['name']),
    metadata: text(message['metadata']),
    numParticipants: count(message['numParticipants']),
    numPublishers: count(message['numPublishers']),
    creationTime: timeOf(message['creationTimeMs'], message['creationTime']),
    activeRecording: message['activeRecording'] === true,
    emptyTimeout: count(message['emptyTimeout']),
    departureTimeout: count(message['departureTimeout']),
  }
}

/** The local participant's profile in a join message. */
export function profileIn(join: SignalResponseLike): Profile {
  const { value } = join.message
  const participant = isObject(value) ? value['participant'] : undefined
  const info: Partial<ParticipantInfoMessage> = isParticipant(participant) ? participant : {}
  return { name: info.name ?? '', metadata: info.metadata ?? '', attributes: info.attributes ?? {} }
}

/** What is known of the room. It changes with the server's messages. */
export class RoomDescription {
  readonly #tell: TellRoomEvent
  #info = noRoom

  constructor(tell: TellRoomEvent) {
    this.#tell = tell
  }

  get info(): RoomInfo {
    return this.#info
  }

  /** The room was connected. Nothing was known of it before. */
  joined(room: unknown): void {
    this.#info = roomInfoOf(room)
  }

  /** Tells what has changed. A message without a room changes nothing. */
  updated(room: unknown): void {
    const before = this.#info
    if (!isObject(room)) return
    this.#info = roomInfoOf(room)
    const { metadata, activeRecording } = this.#info
    if (metadata !== before.metadata) this.#tell(RoomEvent.RoomMetadataChanged, metadata)
    if (activeRecording !== before.activeRecording)
      this.#tell(RoomEvent.RecordingStatusChanged, activeRecording)
  }
}
