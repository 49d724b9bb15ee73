/** Messages of servers that are newer than the protocol package, read by hand. */
import { emptyField, holdsNumber, numberOf, readField } from './wire'
import type { WireField } from './wire'

/** Fields of a message that are read; each of these messages has two. */
const MAX_FIELDS = 64

/** `DataTrackDemandUpdate`, in `SignalResponse`. */
const DEMAND_UPDATE = 32
/** The fields of `DataTrackDemandUpdate`. */
const Demand = { PubHandle: 1, HasSubscribers: 2 } as const

/** `livekit.DataTrackDemandUpdate`. */
interface DemandUpdateMessage {
  readonly pubHandle: number
  readonly hasSubscribers: boolean
}

/** A message that the protocol package does not know. */
export interface NewerMessage {
  readonly case: 'dataTrackDemandUpdate'
  readonly value: DemandUpdateMessage
}

/** Whether a field of `SignalResponse` is one of these messages. */
export function isNewer({ number }: WireField): boolean {
  return number === DEMAND_UPDATE
}

/** Reads the field of `SignalResponse` that {@link isNewer}. What is malformed in it counts as absent. */
export function newerMessage(data: Uint8Array, { value, end }: WireField): NewerMessage {
  const numbers = new Map<number, number>()
  const field = emptyField()
  for (let at = value, count = 0; at < end && count < MAX_FIELDS; count++) {
    if (!readField(data, at, end, field)) break
    at = field.end
    if (holdsNumber(field)) numbers.set(field.number, numberOf(data, field))
  }
  const pubHandle = numbers.get(Demand.PubHandle) ?? 0
  const hasSubscribers = (numbers.get(Demand.HasSubscribers) ?? 0) !== 0
  return { case: 'dataTrackDemandUpdate', value: { pubHandle, hasSubscribers } }
}
