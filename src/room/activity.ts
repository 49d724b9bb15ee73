/** How a participant's media and connection do, according to the server. The names are livekit-client's. */

/** Names of `livekit.ConnectionQuality`, by number. */
const qualities = ['poor', 'good', 'excellent', 'lost'] as const

/**
 * The quality of a participant's connection. `lost`: the server does not hear from the participant at the moment.
 * `unknown`: the server has not reported it.
 */
export type ConnectionQuality = (typeof qualities)[number] | 'unknown'

/** @internal `undefined`: a number that this version does not know. */
export function connectionQualityOf(number: unknown): ConnectionQuality | undefined {
  return typeof number === 'number' ? qualities[number] : undefined
}

/** @internal What the server tells of a participant besides its description. */
export class Activity {
  audioLevel = 0
  isSpeaking = false
  lastSpokeAt: Date | undefined
  connectionQuality: ConnectionQuality = 'unknown'

  /** The participant speaks, or no longer does. */
  speaks(active: boolean, level: number): void {
    if (active && !this.isSpeaking) this.lastSpokeAt = new Date()
    this.isSpeaking = active
    this.audioLevel = level
  }
}

/** Properties of participants that the server tells apart from their descriptions. */
export abstract class ActiveParticipant {
  /** @internal */
  readonly activity = new Activity()

  /**
   * Whether the participant is speaking. The server reports it for the local participant, and for participants whose
   * media this room subscribes to.
   */
  get isSpeaking(): boolean {
    return this.activity.isSpeaking
  }

  /** How loud the participant speaks, from 0 to 1 (loudest). 0 if it does not speak. */
  get audioLevel(): number {
    return this.activity.audioLevel
  }

  /** When the participant last began to speak, by the local clock; `undefined` if it has not spoken. */
  get lastSpokeAt(): Date | undefined {
    return this.activity.lastSpokeAt
  }

  /**
   * The quality of the participant's connection, as the server measures it. The server reports it for the local
   * participant, and for participants whose media this room subscribes to. Default: `unknown`.
   */
  get connectionQuality(): ConnectionQuality {
    return this.activity.connectionQuality
  }
}
