// Random server messages, and mutations of real ones. They are deterministic: the same numbers give the same messages.

/** Most entries of all lists of a message together, since nested lists multiply. */
const MAX_ENTRIES = 20_000

/** Random numbers from a seed (mulberry32). */
export class Dice {
  #state
  /** By how much the lists of this message may still multiply. */
  #room = MAX_ENTRIES

  constructor(seed) {
    this.#state = seed >>> 0
  }

  /** From 0 to 1. */
  next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let bits = this.#state
    bits = Math.imul(bits ^ (bits >>> 15), bits | 1)
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61)
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }

  below(limit) {
    return Math.floor(this.next() * limit)
  }

  chance(probability) {
    return this.next() < probability
  }

  /** Starts a new message. */
  reset() {
    this.#room = MAX_ENTRIES
  }

  /** How many entries a list gets. */
  count() {
    const count = Math.min(this.pick(counts), Math.floor(this.#room))
    this.#room /= Math.max(count, 1)
    return count
  }

  pick(list) {
    return list[this.below(list.length)]
  }
}

const texts = [
  '',
  'me',
  'alicesingle',
  'bobsingle',
  'PA_1',
  'DTR_1',
  '__proto__',
  'constructor',
  'toString',
  '\u0000',
  '\u001b[2J\r\n',
  '\ud83d\ude80',
  '\u202e',
  'x'.repeat(300),
  'y'.repeat(70_000),
  '{}',
  '{"candidate":7}',
  'a.b.c',
]
const integers = [0, 1, 2, 3, 5, 255, 256, 65_535, 65_536, 2 ** 31 - 1, -1, -(2 ** 31)]
const bigIntegers = [0n, 1n, -1n, 2n ** 31n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)]
/** Entries of a list, mostly few. */
const counts = [0, 1, 1, 2, 3, 17, 300, 5000]

const SCALAR = {
  DOUBLE: 1,
  FLOAT: 2,
  INT64: 3,
  UINT64: 4,
  FIXED64: 6,
  BOOL: 8,
  STRING: 9,
  BYTES: 12,
  UINT32: 13,
  FIXED32: 7,
}

function scalar(type, dice) {
  switch (type) {
    case SCALAR.STRING:
      return dice.pick(texts)
    case SCALAR.BYTES:
      return new Uint8Array(dice.pick([0, 1, 100, 60_000])).fill(dice.below(256))
    case SCALAR.BOOL:
      return dice.chance(0.5)
    case SCALAR.DOUBLE:
    case SCALAR.FLOAT:
      return dice.pick([0, -1, 1e30, Number.NaN, Number.POSITIVE_INFINITY])
    case SCALAR.INT64:
    case 16:
    case 18:
      return dice.pick(bigIntegers)
    case SCALAR.UINT64:
    case SCALAR.FIXED64:
      return BigInt.asUintN(64, dice.pick(bigIntegers))
    case SCALAR.UINT32:
    case SCALAR.FIXED32:
      return dice.pick(integers) >>> 0
    default:
      return dice.pick(integers)
  }
}

/** Messages that are nested deeper are left empty. */
const MAX_DEPTH = 4

function single(field, dice, depth) {
  if (field.kind === 'message') return randomMessage(field.T, dice, depth + 1)
  return field.kind === 'enum' ? dice.pick(integers) : scalar(field.T, dice)
}

function valueOf(field, dice, depth) {
  // Nested lists would grow without bound.
  const count = depth > 2 ? dice.below(3) : dice.count()
  if (field.kind === 'map') {
    const entries = {}
    for (let index = 0; index < Math.min(count, 300); index++) {
      const key = field.K === SCALAR.STRING ? `${dice.pick(texts)}${index}` : index
      entries[key] = single({ kind: field.V.kind, T: field.V.T }, dice, depth)
    }
    return entries
  }
  if (!field.repeated) return single(field, dice, depth)
  // A long list repeats the same few entries: random entries cost more than the test itself.
  const few = Array.from({ length: Math.min(count, 5) }, () => single(field, dice, depth))
  return Array.from({ length: count }, (_, index) => few[index % few.length])
}

/** A message of a type with some of its fields. */
export function randomMessage(type, dice, depth = 0) {
  const message = new type()
  if (depth > MAX_DEPTH) return message
  for (const field of type.fields.list()) {
    if (field.oneof === undefined && dice.chance(0.5)) message[field.localName] = valueOf(field, dice, depth)
  }
  for (const { localName, fields } of type.fields.byMember().filter(({ kind }) => kind === 'oneof')) {
    const field = dice.pick(fields)
    message[localName] = { case: field.localName, value: valueOf(field, dice, depth) }
  }
  return message
}

/** Changes a field somewhere in a message. */
export function mutate(message, dice, depth = 0) {
  const type = message.getType()
  const member = dice.pick(type.fields.byMember())
  if (member === undefined) return
  if (member.kind === 'oneof') {
    const { case: chosen, value } = message[member.localName]
    if (typeof value?.getType === 'function' && dice.chance(0.9)) mutate(value, dice, depth + 1)
    else {
      const field = dice.chance(0.5)
        ? (member.fields.find(({ localName }) => localName === chosen) ?? dice.pick(member.fields))
        : dice.pick(member.fields)
      message[member.localName] = { case: field.localName, value: valueOf(field, dice, depth) }
    }
    return
  }
  const value = message[member.localName]
  if (member.repeated && value.length > 0 && dice.chance(0.7)) {
    const entry = dice.pick(value)
    if (typeof entry?.getType === 'function' && dice.chance(0.6)) mutate(entry, dice, depth + 1)
    else if (dice.chance(0.5)) message[member.localName] = Array.from({ length: dice.count() }, () => entry)
    else value.reverse()
  } else if (typeof value?.getType === 'function' && dice.chance(0.7)) mutate(value, dice, depth + 1)
  else message[member.localName] = valueOf(member, dice, depth)
}

/** Changes bytes: flips, cuts and repeats them, and makes lengths wrong. */
export function mutateBytes(bytes, dice) {
  const out = Buffer.from(bytes)
  switch (dice.below(5)) {
    case 0:
      for (let count = 1 + dice.below(4); count > 0 && out.length > 0; count--)
        out[dice.below(out.length)] = dice.below(256)
      return out
    case 1:
      return out.subarray(0, dice.below(out.length + 1))
    case 2:
      return Buffer.concat([out, out.subarray(dice.below(out.length + 1))])
    case 3:
      return repeatedInside(out, dice)
    default: {
      const at = dice.below(out.length + 1)
      return Buffer.concat([
        out.subarray(0, at),
        Buffer.alloc(dice.pick([1, 10, 5000]), dice.below(256)),
        out.subarray(at),
      ])
    }
  }
}

/** A bytes field that repeats a few bytes, as no encoder of lists would send it. */
function repeatedInside(bytes, dice) {
  const tag = bytes[0] ?? 0
  const unit = Buffer.from(
    dice.pick([
      [0x0a, 0],
      [0x1a, 0],
      [0x22, 0],
      [0x0a, 2, 0x0a, 0],
      [0x9a, 1, 0],
      [0x08, 1],
    ]),
  )
  const content = Buffer.alloc(unit.length * dice.pick([10, 3000, 200_000]), unit)
  const length = []
  for (let rest = content.length; ; rest = Math.floor(rest / 128)) {
    length.push(rest > 127 ? (rest % 128) | 128 : rest)
    if (rest <= 127) break
  }
  return Buffer.concat([Buffer.from([(tag & 0xf8) | 2, ...length]), content])
}
