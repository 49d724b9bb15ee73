import { readFileSync } from 'node:fs'
import { describe, expect, expectTypeOf, it } from 'vitest'
import * as api from '../../index'
import {
  DataTrackError,
  DataTrackPublishError,
  DataTrackPushFrameError,
  DataTrackSubscribeError,
  errorTable,
} from '../../index'
import type { DataTrackSubscribeErrorReason } from '../../index'
import { errorCodes } from '../../src/base/errors'

type AnyError = new (reason: string, ...rest: unknown[]) => DataTrackError

const classes = new Map<string, AnyError>(
  errorTable().map(({ name }) => [name, (api as Record<string, unknown>)[name] as AnyError]),
)

function make(name: string, reason: string): DataTrackError {
  const Class = classes.get(name)!
  return name === 'DataTrackPushFrameError' || name === 'DataTrackDecodeError'
    ? new Class(reason, undefined, {})
    : new Class(reason, {})
}

describe('the table of errors', () => {
  it('has a class, a code and texts for each reason', () => {
    expect(classes.size).toBe(Object.keys(errorCodes).length)
    for (const { name, code, reason, message, doc } of errorTable()) {
      const error = make(name, reason)
      expect(error).toBeInstanceOf(Error)
      expect(error).toMatchObject({ name, code, reason, message })
      expect(code).toMatch(/^ERR_DATATRACK_[A-Z0-9_]+$/)
      expect(reason).toMatch(/^[a-z][A-Za-z]+$/)
      expect(doc.length).toBeGreaterThan(10)
      expect(error.stack).toContain(name)
    }
  })

  it('has a code of its own for each class', () => {
    expect(new Set(errorTable().map(({ code }) => code)).size).toBe(classes.size)
  })

  it('contains each exported class of errors', () => {
    const exported = Object.entries(api).filter(
      ([, value]) => typeof value === 'function' && value.prototype instanceof Error,
    )
    // livekit-client's RpcError has numbers as codes, and a table of its own.
    const others = ['DataTrackError', 'RpcError']
    expect(exported.map(([name]) => name).sort()).toEqual([...others, ...classes.keys()].sort())
  })
})

describe('reasons of the native side', () => {
  const source = readFileSync('crates/node/src/convert/event.rs', 'utf8')

  it.each([
    ['publish_reason', 'DataTrackPublishError'],
    ['subscribe_reason', 'DataTrackSubscribeError'],
    ['e2ee_reason', 'DataTrackE2eeError'],
    ['encryption_error_reason', 'DataTrackE2eeError'],
    ['unpublished_reason', 'DataTrackUnpublishedError'],
  ])('%s: each has a row of %s, and a new one is a compile error', (name, of) => {
    const body = new RegExp(`fn ${name}\\(.*?\\n}\\n`, 's').exec(source)?.[0] ?? ''
    const reasons = [...body.matchAll(/"(\w+)"/g)].map(([, reason]) => reason)
    const rows = errorTable().filter(({ name: row }) => row === of)
    expect(reasons.length).toBeGreaterThan(2)
    expect(rows.map(({ reason }) => reason)).toEqual(expect.arrayContaining(reasons))
    expect(body).not.toMatch(/\n\s+_ =>/)
  })
})

describe('instanceof', () => {
  it('distinguishes the classes', () => {
    for (const { name, reason } of errorTable()) {
      const error = make(name, reason)
      expect(error instanceof DataTrackError).toBe(true)
      for (const [other, Class] of classes)
        expect(error instanceof Class, `${name} ${other}`).toBe(name === other)
    }
    for (const other of [new Error(), {}, null, undefined, 'text']) {
      expect(other instanceof DataTrackError).toBe(false)
    }
  })

  it('works across two copies of the package', () => {
    // What another copy makes: other prototypes, the same registered symbol.
    const foreign = Object.assign(new Error('foreign'), {
      [Symbol.for('node-datatrack.error')]: 'DataTrackPublishError',
    })
    expect(foreign instanceof DataTrackPublishError).toBe(true)
    expect(foreign instanceof DataTrackError).toBe(true)
    expect(foreign instanceof DataTrackSubscribeError).toBe(false)
  })

  it('uses the prototype chain for an application’s own subclass', () => {
    class Mine extends DataTrackPublishError {}
    expect(new Mine('timeout') instanceof Mine).toBe(true)
    expect(new Mine('timeout') instanceof DataTrackPublishError).toBe(true)
    expect(new DataTrackPublishError('timeout') instanceof Mine).toBe(false)
  })
})

describe('an error', () => {
  it('has its cause and its frame, and a message that ends with the detail', () => {
    const cause = new Error('cause')
    const frame = { payload: new Uint8Array(1) }
    const error = new DataTrackPushFrameError('encodeFailed', frame, { cause, detail: 'more' })
    expect(error.cause).toBe(cause)
    expect(error.frame).toBe(frame)
    expect(error.message).toMatch(/: more$/)
    expect('cause' in new DataTrackPublishError('timeout')).toBe(false)
  })

  it('has reasons that TypeScript checks for completeness', () => {
    const text = (error: unknown): string => {
      if (!(error instanceof DataTrackSubscribeError)) return 'other'
      switch (error.reason) {
        case 'unpublished':
        case 'timeout':
        case 'notAllowed':
        case 'disconnected':
        case 'cancelled':
        case 'unencrypted':
        case 'noDecryption':
        case 'internal':
          return error.reason
        default:
          return error.reason satisfies never
      }
    }
    expect(text(new DataTrackSubscribeError('timeout'))).toBe('timeout')
    expectTypeOf<DataTrackSubscribeErrorReason>().extract<'timeout'>().toEqualTypeOf<'timeout'>()
    expectTypeOf(new DataTrackPublishError('timeout').code).toEqualTypeOf<'ERR_DATATRACK_PUBLISH'>()
  })
})
