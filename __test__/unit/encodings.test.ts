/** The names and numbers of encodings are in three places: in Rust, in TypeScript and in LiveKit's protocol. */
import { readFileSync } from 'node:fs'
import { DataTrackFrameEncoding, DataTrackSchemaEncoding } from '@livekit/protocol'
import { expect, it } from 'vitest'
import { frameEncodings, schemaEncodings } from '../../src/base/codec'

const rust = readFileSync('crates/datatrack/src/schema.rs', 'utf8')

/** Number and name of each variant that the macro `encoding!` defines for this enum. */
function inRust(name: string): [number, string][] {
  const [, body = ''] = new RegExp(`^ {4}${name} \\{\n([^}]*)^ {4}\\}`, 'm').exec(rust) ?? []
  return [...body.matchAll(/^ +\w+ = (\d+), "(\w+)";$/gm)].map(([, number, text]) => [Number(number), text!])
}

/** The same for LiveKit's enum, whose names are in upper case and have underscores. */
function inProtocol(
  message: typeof DataTrackFrameEncoding | typeof DataTrackSchemaEncoding,
): [number, string][] {
  const field = message.fields.list().find(({ kind }) => kind === 'enum')
  if (field?.kind !== 'enum') throw new Error(`${message.typeName} has no enum`)
  return field.T.values
    .filter(({ no }) => no !== 0)
    .map(({ no, name }) => [
      no,
      name
        .replace(/^.*ENCODING_/, '')
        .replaceAll('_', '')
        .toLowerCase(),
    ])
}

it.each([
  ['FrameEncoding', frameEncodings, DataTrackFrameEncoding],
  ['SchemaEncoding', schemaEncodings, DataTrackSchemaEncoding],
] as const)(
  '%s has the same names and numbers in Rust, TypeScript and the protocol',
  (name, ours, message) => {
    const numbered = ours.map((text, index) => [index + 1, text])
    expect(numbered.length).toBeGreaterThan(0)
    expect(inRust(name)).toEqual(numbered)
    expect(inProtocol(message)).toEqual(numbered)
  },
)
