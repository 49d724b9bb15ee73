/**
 * Splits a server's message into parts, each small enough to be decoded and handled at once. A list of participants
 * becomes a series of `update` messages. Entries beyond the limits are left out, with a warning.
 */
import type { FieldInfo, MessageType } from '@bufbuild/protobuf'
import type { DataTrackInfo, ParticipantInfo, ParticipantUpdate, SignalResponse } from '@livekit/protocol'
import { loadProtocol } from '../base/lazy'
import { log } from '../base/logging'
import { withAllKeys } from '../base/map-keys'
import * as limits from './limits'
import { isNewer, newerMessage } from './newer'
import type { NewerMessage } from './newer'
import { AUDIO_TRACK } from './messages'
import type { TrackInfoMessage } from './messages'
import { costOf, emptyField, holdsBytes, Ranges, readField } from './wire'
import type { WireField } from './wire'

type ResponseMessage = SignalResponse['message']
type ResponseCase = NonNullable<ResponseMessage['case']>
type ListingCase = 'join' | 'update' | 'roomMoved'

/** A part of a message, decoded. */
export interface SignalPart {
  readonly message: ResponseMessage
  /** Bytes that it takes in memory, roughly. */
  readonly weight: number
}

/** A part, or `undefined`: it takes longer, and here one may pause. */
type Parts<T> = Generator<T | undefined, void>

/** What is looked at here. */
const taken: ReadonlySet<string> = new Set<ResponseCase | NewerMessage['case']>([
  'join',
  'answer',
  'offer',
  'trickle',
  'update',
  'leave',
  'roomUpdate',
  'speakersChanged',
  'connectionQuality',
  'refreshToken',
  'pong',
  'reconnect',
  'pongResp',
  'requestResponse',
  'roomMoved',
  'publishDataTrackResponse',
  'unpublishDataTrackResponse',
  'dataTrackSubscriberHandles',
  'mediaSectionsRequirement',
  'subscriptionResponse',
  'trackPublished',
  'trackUnpublished',
  'trackSubscribed',
  'mute',
  'subscriptionPermissionUpdate',
  'dataTrackDemandUpdate',
  'storeDataBlobResponse',
  'getDataBlobResponse',
])

/** Bytes in memory for each unit of cost. */
const COST_WEIGHT = 24
/** Fields of a message that are read at its first level; in a longer one the rest is left out. */
const MAX_FIRST_LEVEL = 131_072
/** Entries of a list that are decoded before there may be a pause. */
const PAUSE_AFTER = 256

const whole = { readUnknownFields: false }

/** Numbers of fields that list participants. */
const listNumbers = { join: 3, update: 1, roomMoved: 4 } as const satisfies Record<ListingCase, number>
/** Numbers of fields of `ParticipantInfo`. */
const Participant = { Tracks: 4, Attributes: 15, KindDetails: 18, DataTracks: 19, Capabilities: 21 } as const

/** How many entries of a participant's lists are kept. */
const participantLists: ReadonlyMap<number, number> = new Map([
  [Participant.Tracks, limits.MAX_MEDIA_TRACKS_OF_PARTICIPANT],
  [Participant.KindDetails, limits.MAX_KIND_DETAILS],
  [Participant.Attributes, limits.MAX_ATTRIBUTES],
  [Participant.Capabilities, 64],
])

/** A range of bytes. */
type Range = Pick<WireField, 'value' | 'end'>

/**
 * Decodes a message part by part. One that is of no interest here has no part.
 *
 * @throws when it cannot be decoded
 */
export function* signalParts(data: Uint8Array): Parts<SignalPart> {
  const { SignalResponse } = loadProtocol()
  if (data.length <= limits.SMALL_MESSAGE_BYTES) {
    const { message } = withAllKeys(SignalResponse, data, SignalResponse.fromBinary(data, whole))
    if (message.case === undefined) yield* newerPart(data, lastField(data))
    if (message.case === undefined || !taken.has(message.case)) return
    const cost = costOf(SignalResponse, data, 0, data.length, limits.MAX_PART_COST)
    if (message.case === 'update' && isSnapshot(data, lastField(data))) {
      markSnapshot(
        message.value,
        message.value.participants.map(({ identity }) => identity),
      )
    }
    yield { message: withoutVideo(message), weight: weightOf(data.length, cost) }
    return
  }
  const top = lastField(data)
  const info = top && SignalResponse.fields.find(top.number)
  yield* newerPart(data, top)
  if (top === undefined || info === undefined || !taken.has(info.localName)) return
  const kind = info.localName as ResponseCase
  if (info.kind !== 'message') yield wholePart(kind, info, data, top)
  else if (kind === 'join' || kind === 'update' || kind === 'roomMoved') {
    yield* participantParts(kind, info.T, data, top)
  } else if (kind === 'dataTrackSubscriberHandles') yield* handlesPart(data, top)
  else yield wholePart(kind, info, data, top)
}

/** A message that the protocol package does not know, if it is one that is read here. */
function* newerPart(data: Uint8Array, top: WireField | undefined): Parts<SignalPart> {
  if (top === undefined || !isNewer(top) || !holdsBytes(top)) return
  // Its case is not among those of the package.
  yield { message: newerMessage(data, top) as unknown as ResponseMessage, weight: weightOf(0, 2) }
}

/** The field that counts: of a choice that is made more than once protobuf takes the last one. */
function lastField(data: Uint8Array): WireField | undefined {
  const field = emptyField()
  let last: WireField | undefined
  for (let at = 0, count = 0; at < data.length; count++) {
    if (count === MAX_FIRST_LEVEL || !readField(data, at, data.length, field)) {
      leftOut('a message', 'it is malformed')
      return undefined
    }
    last = { ...field }
    at = field.end
  }
  return last
}

function wholePart(
  kind: ResponseCase,
  info: FieldInfo,
  data: Uint8Array,
  { start, value, end }: WireField,
): SignalPart | undefined {
  const cost = info.kind === 'message' ? costOf(info.T, data, value, end, limits.MAX_PART_COST) : 1
  if (end - start > limits.MAX_PART_BYTES || cost > limits.MAX_PART_COST) {
    leftOut(kind, 'it is too large or malformed')
    return undefined
  }
  // A copy: what a decoded message keeps of its bytes would keep all of what was received.
  const bytes = Uint8Array.prototype.slice.call(data, start, end)
  const { message } = loadProtocol().SignalResponse.fromBinary(bytes, whole)
  return { message, weight: weightOf(bytes.length, cost) }
}

function* participantParts(
  kind: ListingCase,
  type: MessageType,
  data: Uint8Array,
  top: WireField,
): Parts<SignalPart> {
  const { ParticipantUpdate } = loadProtocol()
  const { rest, entries } = separate(kind, listNumbers[kind], limits.MAX_PARTICIPANTS, data, top)
  if (kind !== 'update') {
    const cost = costOf(type, rest, 0, rest.length, limits.MAX_PART_COST)
    if (rest.length > limits.MAX_PART_BYTES || cost > limits.MAX_PART_COST) {
      leftOut(kind, 'it is too large or malformed')
      return
    }
    const value = type.fromBinary(rest, whole)
    const message = withoutVideo({ case: kind, value } as ResponseMessage)
    yield* grouped(kind, data, entries, { message, weight: weightOf(rest.length, cost) })
    return
  }
  const message: ResponseMessage = { case: 'update', value: new ParticipantUpdate() }
  // Of a list that was cut, nothing follows for those that are not in it.
  const snapshot = entries.length < limits.MAX_PARTICIPANTS && isSnapshot(data, top)
  yield* grouped(kind, data, entries, { message, weight: 0 }, snapshot)
}

/** Participants a few at a time: the first ones in the message itself, the others in updates. */
function* grouped(
  kind: ListingCase,
  data: Uint8Array,
  entries: readonly Range[],
  begun: SignalPart,
  snapshot = false,
): Parts<SignalPart> {
  const { ParticipantUpdate } = loadProtocol()
  let { message, weight } = begun
  let skipped = 0
  const listed: string[] = []
  let room = { cost: 0, bytes: 0 }
  for (const { value, end } of entries) {
    if (room.cost >= limits.PART_COST || room.bytes >= limits.PART_BYTES) {
      yield { message, weight }
      message = { case: 'update', value: new ParticipantUpdate() }
      weight = 0
      room = { cost: 0, bytes: 0 }
    }
    const bytes = data.subarray(value, end)
    const cost = costOfParticipant(bytes)
    const participant = yield* decoded(bytes)
    if (participant === undefined) {
      skipped += 1
      continue
    }
    listOf(message)?.push(participant)
    if (snapshot) listed.push(participant.identity)
    weight += weightOf(bytes.length, cost)
    room.cost += cost
    room.bytes += bytes.length
  }
  if (skipped > 0) leftOut(kind, `${skipped} participants are malformed or too large`)
  else if (snapshot) markSnapshot(message.value as ParticipantUpdate, listed)
  yield { message, weight }
}

/** `livekit.ParticipantUpdate.full_snapshot`: protocol 1.54 has it, and @livekit/protocol 1.52 does not. */
const FULL_SNAPSHOT = 2

/** Whether an update lists all participants. */
function isSnapshot(data: Uint8Array, update: Range | undefined): boolean {
  if (update === undefined) return false
  const field = emptyField()
  let is = false
  for (let at = update.value; at < update.end && readField(data, at, update.end, field); at = field.end) {
    if (field.number !== FULL_SNAPSHOT || holdsBytes(field)) continue
    is = data.subarray(field.value, field.end).some((byte) => (byte & 0x7f) !== 0)
  }
  return is
}

/** The last part of an update that lists all participants has their identities. */
function markSnapshot(update: ParticipantUpdate, identities: readonly string[]): void {
  Object.assign(update, { snapshotOf: identities })
}

function listOf(message: ResponseMessage): ParticipantInfo[] | undefined {
  if (message.case === 'update') return message.value.participants
  return message.case === 'join' || message.case === 'roomMoved' ? message.value.otherParticipants : undefined
}

/** As far as it matters: a participant that costs as much as a part is the last one of it. */
function costOfParticipant(bytes: Uint8Array): number {
  return costOf(loadProtocol().ParticipantInfo, bytes, 0, bytes.length, limits.PART_COST)
}

/** Decodes a participant; a long list of data tracks with pauses. `undefined`: it is malformed. */
function* decoded(bytes: Uint8Array): Generator<undefined, ParticipantInfo | undefined> {
  const { DataTrackInfo, ParticipantInfo } = loadProtocol()
  try {
    if (bytes.length <= limits.SMALL_MESSAGE_BYTES)
      return lean(withAllKeys(ParticipantInfo, bytes, ParticipantInfo.fromBinary(bytes, whole)))
    const all = { value: 0, end: bytes.length }
    const { rest, entries } = separate(
      'a participant',
      Participant.DataTracks,
      limits.MAX_TRACKS_OF_PARTICIPANT,
      bytes,
      all,
      participantLists,
    )
    const cost = costOf(ParticipantInfo, rest, 0, rest.length, limits.MAX_PART_COST)
    if (rest.length > limits.MAX_PART_BYTES || cost > limits.MAX_PART_COST) return undefined
    const participant = lean(withAllKeys(ParticipantInfo, rest, ParticipantInfo.fromBinary(rest, whole)))
    const dataTracks: DataTrackInfo[] = []
    for (const [index, { value, end }] of entries.entries()) {
      if (index % PAUSE_AFTER === PAUSE_AFTER - 1) yield undefined
      // Their texts have 256 characters at most.
      if (end - value > limits.SMALL_MESSAGE_BYTES) continue
      const track = bytes.subarray(value, end)
      if (costOf(DataTrackInfo, track, 0, track.length, limits.PART_COST) > limits.PART_COST) continue
      dataTracks.push(DataTrackInfo.fromBinary(track, whole))
    }
    return Object.assign(participant, { dataTracks })
  } catch {
    return undefined
  }
}

/** The table of subscriber handles; it counts as a whole, and is decoded with pauses. */
function* handlesPart(data: Uint8Array, top: WireField): Parts<SignalPart> {
  const { DataTrackSubscriberHandles } = loadProtocol()
  const kind = 'dataTrackSubscriberHandles'
  const { entries } = separate(kind, 1, limits.MAX_SUBSCRIBER_HANDLES, data, top)
  const value = new DataTrackSubscriberHandles()
  // A map's entries are fields of it, too: some at a time, as if they were the whole.
  for (let index = 0; index < entries.length; index += PAUSE_AFTER) {
    const [first, last] = [entries[index], entries[Math.min(index + PAUSE_AFTER, entries.length) - 1]]
    if (first === undefined || last === undefined) continue
    const bytes = data.subarray(first.start, last.end)
    if (
      costOf(DataTrackSubscriberHandles, bytes, 0, bytes.length, limits.MAX_PART_COST) > limits.MAX_PART_COST
    ) {
      leftOut(kind, 'some entries are malformed or too large')
      continue
    }
    Object.assign(value.subHandles, DataTrackSubscriberHandles.fromBinary(bytes, whole).subHandles)
    yield undefined
  }
  yield { message: { case: kind, value }, weight: weightOf(top.end - top.value, 12 * entries.length) }
}

/** The first entries of a list, and the message without it. `cut`: how many are kept of other lists, by number. */
function separate(
  what: string,
  list: number,
  most: number,
  data: Uint8Array,
  { value, end }: Range,
  cut?: ReadonlyMap<number, number>,
): { readonly rest: Uint8Array; readonly entries: readonly WireField[] } {
  const field = emptyField()
  const rest = new Ranges(data)
  const entries: WireField[] = []
  const counts = new Map<number, number>()
  let more = 0
  for (let at = value, count = 0; at < end; count++) {
    if (count === MAX_FIRST_LEVEL || !readField(data, at, end, field)) {
      leftOut(what, 'it is malformed or too long')
      break
    }
    at = field.end
    if (field.number === list) {
      if (entries.length < most && holdsBytes(field)) entries.push({ ...field })
      else more += 1
      continue
    }
    const limit = cut?.get(field.number)
    if (limit !== undefined) {
      const kept = counts.get(field.number) ?? 0
      counts.set(field.number, kept + 1)
      if (kept >= limit) {
        if (limit > 0) more += 1
        continue
      }
    }
    rest.add(field.start, field.end)
  }
  if (more > 0) leftOut(what, `${more} entries are too many`)
  return { rest: rest.join(), entries }
}

/** Participants are kept with what is used of them. */
function withoutVideo(message: ResponseMessage): ResponseMessage {
  for (const participant of listOf(message) ?? []) lean(participant)
  if (message.case === 'join' || message.case === 'roomMoved') {
    if (message.value.participant !== undefined) lean(message.value.participant)
  }
  return message
}

function lean(participant: ParticipantInfo): ParticipantInfo {
  // A packed list is one field, however long it is.
  const kindDetails = participant.kindDetails.slice(0, limits.MAX_KIND_DETAILS)
  return Object.assign(participant, { tracks: audioTracks(participant), kindDetails })
}

/** Video tracks are left out, and of the others what nothing reads. */
function audioTracks({ tracks }: ParticipantInfo): TrackInfoMessage[] {
  return tracks
    .filter(({ type }: { readonly type: number }) => type === AUDIO_TRACK)
    .slice(0, limits.MAX_AUDIO_TRACKS_OF_PARTICIPANT)
    .map(({ sid, name, muted, source, mimeType, encryption }) => {
      return { sid, name, muted, source, mimeType, encryption }
    })
}

function weightOf(bytes: number, cost: number): number {
  return 2 * bytes + COST_WEIGHT * cost
}

function leftOut(what: string, why: string): void {
  log('warn', 'signal', `left out a part of ${what} of the server: ${why}`)
}
