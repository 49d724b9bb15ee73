/** Events of the native side: Rust and TypeScript name the same ones. A name that only one of them has is never heard. */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

/** Kinds of events in the Rust function, or the TypeScript type, that matches. */
function kinds(file: string, within: RegExp, each: RegExp): string[] {
  const [body = ''] = within.exec(readFileSync(file, 'utf8')) ?? []
  return [...body.matchAll(each)].map(([, kind]) => kind!).sort()
}

it('Rust and TypeScript name the same kinds of native events', () => {
  const rust = kinds('crates/node/src/convert/event.rs', /.*/s, /c"type", "(\w+)"/g)
  const publisher = kinds('crates/node/src/convert/event.rs', /.*/s, /PublisherEvent::\w+.* => \("(\w+)"/g)
  const known = kinds('src/native/native.ts', /export type NativeEvent = .*?\n\)\n/s, /\btype: '(\w+)'/g)
  expect(publisher.length).toBeGreaterThan(5)
  expect([...rust, ...publisher].sort()).toEqual(known)
})
