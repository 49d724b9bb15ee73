// Data packets as participants send them, changed ones, and made up ones. Deterministic: the same dice give the same packets.
import { deflateRawSync } from 'node:zlib'
import { mutate, mutateBytes, randomMessage } from './signal-mutations.mjs'

const identities = ['alice', 'alice', 'mallory', 'mallory', '', 'bob', '__proto__', 'x'.repeat(3000)]
const sids = ['PA_1', 'PA_2', '', '__proto__', 'y'.repeat(3000)]
/** Few, so that streams collide. */
const streamIds = ['a', 'b', 'c', 'd', '', '__proto__', 'constructor']
const agents = ['lk.chat', 'lk.transcription']
export const topics = [
  'read',
  'iterate',
  'ignore',
  '',
  '__proto__',
  'lk.rpc_request',
  'lk.rpc_response',
  ...agents,
]
export const methods = ['echo', 'fail', 'never', '__proto__', 'toString', 'unknown']
const lengths = [0, 1, 10, 300, 15_000, 60_000]

/** Content that is compressed, by how much larger it becomes: up to 4 MB in a packet. */
const deflated = [0, 1, 1000, 100_000, 4_000_000].map((length) =>
  deflateRawSync(Buffer.alloc(length, 'ab'), { level: 9 }),
)

/** The bytes of a length-delimited field that no message knows. */
function unknownField(number, content) {
  const bytes = []
  const varint = (value) => {
    for (; value >= 0x80; value = Math.floor(value / 128)) bytes.push((value & 0x7f) | 0x80)
    bytes.push(value)
  }
  varint(number * 8 + 2)
  varint(content.length)
  return Buffer.concat([Uint8Array.from(bytes), content])
}

/** Makes the packets of a sequence. */
export class PacketMaker {
  #protocol
  #dice
  #sequence = 0
  /** Ids of calls and streams that the room under test sent: answers to them reach deeper. */
  known = []

  constructor(protocol, dice) {
    this.#protocol = protocol
    this.#dice = dice
  }

  /** Some packets that belong together, as values of a `DataPacket`. */
  group() {
    const dice = this.#dice
    switch (dice.below(9)) {
      case 0:
        return [this.#user()]
      case 1:
      case 2:
      case 3:
        return this.#stream()
      case 4:
        return [this.#request()]
      case 5:
        return [this.#answer(), this.#answer()]
      case 6:
        return this.#streamRequest()
      case 7:
        return [this.#chat(), this.#transcription(), this.#digit()]
      default: {
        const { DataPacket } = this.#protocol
        dice.reset()
        return [randomMessage(DataPacket, dice).value]
      }
    }
  }

  #chat() {
    const { ChatMessage } = this.#protocol
    const dice = this.#dice
    const timestamp = dice.pick([0n, 5n, 2n ** 63n - 1n])
    const message = 'm'.repeat(dice.pick(lengths))
    return { case: 'chatMessage', value: new ChatMessage({ id: dice.pick(streamIds), timestamp, message }) }
  }

  #transcription() {
    const { Transcription } = this.#protocol
    const dice = this.#dice
    const segments = Array.from({ length: dice.pick([0, 1, 100]) }, () => ({
      id: dice.pick(streamIds),
      text: 't'.repeat(dice.pick([0, 10, 300])),
      final: dice.chance(0.5),
    }))
    const value = new Transcription({ transcribedParticipantIdentity: dice.pick(identities), segments })
    return { case: 'transcription', value }
  }

  #digit() {
    const { SipDTMF } = this.#protocol
    return {
      case: 'sipDtmf',
      value: new SipDTMF({ code: this.#dice.pick([0, 11, 2 ** 32 - 1]), digit: '#' }),
    }
  }

  /** The messages of a group: some as they are, some changed, in their order or not. */
  messages(seal) {
    const dice = this.#dice
    const values = this.group().filter((value) => value.case !== undefined)
    if (dice.chance(0.1)) values.reverse()
    if (dice.chance(0.1)) values.push(...values)
    const identity = dice.pick(identities)
    const sid = dice.pick(sids)
    return values.flatMap((value) => {
      try {
        const bytes = this.#message(value, identity, sid, seal)
        return bytes.length > MAX_MESSAGE
          ? []
          : [{ channel: dice.chance(0.8) ? 'reliable' : 'lossy', data: bytes }]
      } catch {
        // An encoder refuses what does not fit its types.
        return []
      }
    })
  }

  #message(value, identity, sid, seal) {
    const { DataPacket } = this.#protocol
    const dice = this.#dice
    const packet = new DataPacket({
      value,
      participantIdentity: dice.chance(0.95) ? identity : dice.pick(identities),
      participantSid: sid,
      sequence: dice.chance(0.7) ? 0 : dice.chance(0.8) ? ++this.#sequence : dice.pick([1, 2 ** 32 - 1, 5]),
      destinationIdentities: dice.chance(0.9) ? [] : new Array(dice.pick([1, 3000])).fill(''),
    })
    if (dice.chance(0.2)) {
      dice.reset()
      for (let count = 1 + dice.below(3); count > 0; count--) mutate(packet, dice)
    }
    if (seal !== undefined && dice.chance(0.8)) this.#sealed(packet, seal)
    let bytes = packet.toBinary()
    if (dice.chance(0.15)) bytes = mutateBytes(bytes, dice)
    if (dice.chance(0.1)) {
      const content = new Uint8Array(dice.pick([0, 100, 50_000]))
      bytes = Buffer.concat([bytes, unknownField(dice.pick([99, 500, 536_870_911]), content)])
    }
    // In memory of its own, as it comes from the connection.
    return new Uint8Array(bytes)
  }

  /** Makes a packet an encrypted one, which a key opens: what is inside may be anything. */
  #sealed(packet, seal) {
    const { EncryptedPacketPayload } = this.#protocol
    const dice = this.#dice
    let inner = new EncryptedPacketPayload({ value: packet.value }).toBinary()
    if (dice.chance(0.2)) inner = mutateBytes(inner, dice)
    const { iv, keyIndex, payload } = seal(inner)
    if (dice.chance(0.1)) payload[dice.below(payload.length)] ^= 1
    packet.value = {
      case: 'encryptedPacket',
      value: new this.#protocol.EncryptedPacket({
        encryptionType: 1,
        iv: dice.chance(0.95) ? iv : iv.subarray(dice.below(12)),
        keyIndex: dice.chance(0.9) ? keyIndex : dice.pick([1, 15, 16, 255, 256, 2 ** 32 - 1]),
        encryptedValue: payload,
      }),
    }
  }

  #user() {
    const dice = this.#dice
    const value = new this.#protocol.UserPacket({
      payload: new Uint8Array(dice.pick(lengths)),
      topic: dice.pick(topics),
      participantIdentity: dice.pick(identities),
    })
    return { case: 'user', value }
  }

  #content() {
    const dice = this.#dice
    if (dice.chance(0.6)) return dice.pick(deflated)
    return Buffer.alloc(dice.pick(lengths), dice.pick([0, 0x61, 0xc3, 0xff]))
  }

  #attributes() {
    const dice = this.#dice
    const names = ['', '__proto__', 'constructor', 'lk.rpc_request_id', 'k']
    return Object.fromEntries(
      Array.from({ length: dice.pick([0, 0, 1, 300]) }, (_, index) => [
        dice.chance(0.5) ? dice.pick(names) : `k${index}`,
        dice.pick(['', 'v', 'v'.repeat(1000)]),
      ]),
    )
  }

  /** A header, chunks and a trailer; not all of them each time. */
  #stream(fields = {}) {
    const { DataStream_Header, DataStream_Chunk, DataStream_Trailer } = this.#protocol
    const dice = this.#dice
    const streamId = dice.chance(0.5) ? dice.pick(streamIds) : `s${this.#sequence++}`
    const kind = dice.chance(0.5) ? 'textHeader' : 'byteHeader'
    const content = this.#content()
    const inline = dice.chance(0.4)
    const header = new DataStream_Header({
      streamId,
      topic: dice.pick(topics),
      contentHeader: { case: kind, value: {} },
      compression: dice.pick([0, 0, 1, 1, 1, 2, 77]),
      attributes: this.#attributes(),
      ...(dice.chance(0.3) && { totalLength: dice.pick([0n, 1n, 300n, 2n ** 53n, 2n ** 64n - 1n]) }),
      ...(inline && { inlineContent: content }),
      ...fields,
    })
    const values = dice.chance(0.95) ? [{ case: 'streamHeader', value: header }] : []
    if (inline && dice.chance(0.9)) return values
    const size = dice.pick([1000, 15_000])
    let index = 0
    for (let at = 0; at < content.length && index < 20; at += size) {
      const chunkIndex = dice.chance(0.97) ? BigInt(index++) : dice.pick([0n, 7n, 2n ** 64n - 1n])
      const chunk = new DataStream_Chunk({ streamId, chunkIndex, content: content.subarray(at, at + size) })
      if (dice.chance(0.02)) chunk.version = dice.below(3)
      values.push({ case: 'streamChunk', value: chunk })
    }
    if (dice.chance(0.8)) {
      const reason = dice.pick(['', '', '', 'stopped', 'r'.repeat(3000)])
      const trailer = new DataStream_Trailer({ streamId, reason, attributes: this.#attributes() })
      values.push({ case: 'streamTrailer', value: trailer })
    }
    return values
  }

  #id() {
    const dice = this.#dice
    if (this.known.length > 0 && dice.chance(0.5)) return dice.pick(this.known)
    return dice.chance(0.3) ? dice.pick(streamIds) : `r${this.#sequence++}`
  }

  #request() {
    const dice = this.#dice
    const value = new this.#protocol.RpcRequest({
      id: this.#id(),
      method: dice.pick(methods),
      payload: 'p'.repeat(dice.pick([0, 1, 15_000, 50_000])),
      responseTimeoutMs: dice.pick([0, 1, 20, 1000, 60_000, 2 ** 32 - 1]),
      version: dice.pick([0, 1, 1, 1, 2, 99]),
    })
    return { case: 'rpcRequest', value }
  }

  /** A call whose request is a stream. */
  #streamRequest() {
    const dice = this.#dice
    const attributes = {
      'lk.rpc_request_id': this.#id(),
      'lk.rpc_request_method': dice.pick(methods),
      'lk.rpc_request_response_timeout_ms': dice.pick(['0', '20', '1000', '60000', '-1', '1e99', 'NaN', '']),
      'lk.rpc_request_version': dice.pick(['2', '2', '1', '', 'x']),
    }
    if (dice.chance(0.2)) delete attributes[dice.pick(Object.keys(attributes))]
    const topic = dice.chance(0.8) ? 'lk.rpc_request' : 'lk.rpc_response'
    return this.#stream({ topic, attributes, contentHeader: { case: 'textHeader', value: {} } })
  }

  /** An acknowledgement or an answer to a call that there is, or is not. */
  #answer() {
    const dice = this.#dice
    const { RpcAck, RpcResponse } = this.#protocol
    const requestId = this.#id()
    if (dice.chance(0.4)) return { case: 'rpcAck', value: new RpcAck({ requestId }) }
    const value = dice.pick([
      { case: 'payload', value: 'p'.repeat(dice.pick([0, 1, 15_000])) },
      {
        case: 'error',
        value: { code: dice.pick([0, 1500, 2 ** 32 - 1]), message: 'm'.repeat(dice.pick([0, 3000])) },
      },
      { case: 'compressedPayload', value: dice.pick(deflated) },
      { case: undefined },
    ])
    return { case: 'rpcResponse', value: new RpcResponse({ requestId, value }) }
  }
}

/** What no channel of a server carries. */
const MAX_MESSAGE = 65_535
