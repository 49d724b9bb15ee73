/** What callers hand in by mistake is named by a typed error, before anything is done with it. */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { connect, LocalDataTrackManager, now, RemoteDataTrackManager } from '../../index'
import type { ConnectOptions } from '../../index'
import { checkConnectOptions } from '../../src/connection/connect-options'
import { publish, rejection, thrown, withPair } from '../helpers/rooms'

/** Bytes whose memory has gone to somewhere else. */
function transferred(): Uint8Array {
  const bytes = new Uint8Array(8)
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
  return bytes
}

const refused = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' }
// Nothing listens there: a call that goes on ends with another error.
const nowhere = 'ws://127.0.0.1:1'

describe('the URL of a server', () => {
  it.each(['ws://127.0.0.1:1#x', 'wss://127.0.0.1:1/path?a=b#', 'http://127.0.0.1:1/#/room'])(
    'is refused if it has a fragment: %s',
    async (url) => {
      const error = await rejection(connect(url, 'token'))
      expect(error).toMatchObject({ ...refused, message: 'url must be without a fragment (#…)' })
    },
  )
})

describe('a token', () => {
  it.each(['a\nb', 'a\r\nX-Evil: 1', 'secret\0', 'secret😀', 'ä', 'a\x7f'])(
    'is refused if it has unprintable characters, and is not in the error message: %j',
    async (token) => {
      const error = await rejection(connect(nowhere, token))
      expect(error).toMatchObject(refused)
      expect(error.message).toMatch(/^The argument "token" must be of printable ASCII characters/)
      expect(error.message).not.toContain('secret')
    },
  )

  it('may have line breaks around it, but must not consist of line breaks only', async () => {
    const error = await rejection(connect(nowhere, '\r\n token\n'))
    expect(error).toMatchObject({ name: 'DataTrackConnectionError', reason: 'serverUnreachable' })
    expect(await rejection(connect(nowhere, '\n'))).toMatchObject({
      name: 'RangeError',
      code: 'ERR_OUT_OF_RANGE',
      message: expect.stringContaining('token.length'),
    })
  })
})

describe('certificate authorities', () => {
  const pem = rootCertificates[0]!
  const ca = (given: unknown): ConnectOptions['ca'] => checkConnectOptions({ ca: given as string }).ca

  it('may be one or more certificates in PEM', () => {
    const others = [
      pem,
      Buffer.from(pem),
      `a comment\n${pem}\n${rootCertificates[1]!}\n`,
      [pem, Buffer.from(pem)],
      [],
    ]
    for (const given of [undefined, ...others]) expect(ca(given)).toBe(given)
  })

  it.each([
    ['options.ca', 'garbage'],
    ['options.ca', ''],
    ['options.ca', Buffer.from([1, 2, 3])],
    ['options.ca', join(tmpdir(), 'ca.pem')],
    ['options.ca', '-----BEGIN CERTIFICATE-----\nzzzz\n-----END CERTIFICATE-----'],
    ['options.ca', `${pem}\n-----BEGIN CERTIFICATE-----\nzzzz\n-----END CERTIFICATE-----`],
    ['options.ca[1]', [pem, 'garbage']],
  ])('are refused with an error that names the option if they are not PEM: %s', (name, given) => {
    expect(thrown(() => ca(given))).toMatchObject({
      ...refused,
      message: `The argument "${name}" must be of certificates in PEM`,
    })
  })

  it.each([5, null, [5]])('are refused unless they are strings or bytes: %j', (given) => {
    expect(thrown(() => ca(given))).toMatchObject({ name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' })
  })

  it('are checked before the room opens a connection', async () => {
    expect(await rejection(connect(nowhere, 'token', { ca: 'garbage' }))).toMatchObject(refused)
  })
})

describe('bytes whose memory was transferred', () => {
  it('are refused with an error by each function that takes bytes', () =>
    withPair(async (pair) => {
      const { localParticipant } = pair.alice
      const { local } = await publish(pair)
      const writer = await localParticipant.streamBytes()
      const calls: [string, () => unknown][] = [
        ['frame', () => local.tryPush(transferred())],
        ['frame.payload', () => local.tryPush({ payload: transferred() })],
        ['frame', () => local.push(transferred())],
        ['data', () => localParticipant.publishData(transferred())],
        ['data', () => localParticipant.publishData(transferred(), { reliable: true })],
        ['bytes', () => localParticipant.sendBytes(transferred())],
        ['chunk', () => writer.write(transferred())],
        [
          'definition',
          () => localParticipant.defineSchema({ name: 's', encoding: 'protobuf' }, transferred()),
        ],
      ]
      for (const [name, call] of calls) {
        const error = await rejection((async () => await call())())
        expect(error).toMatchObject({ name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' })
        const expected = `The argument "${name}" must be a Uint8Array whose buffer is not detached`
        expect(error.message).toContain(expected)
      }
      // What is only empty is fine.
      await localParticipant.publishData(new Uint8Array(0), { reliable: true })
      local.tryPush({ payload: new Uint8Array(0) })
    }))
})

describe('a system clock', () => {
  afterEach(() => void vi.useRealTimers())

  it('before 1970 still gives a timestamp that a frame can have', () =>
    withPair(async (pair) => {
      const { local } = await publish(pair)
      vi.useFakeTimers({ toFake: ['Date'], now: -86_400_000 })
      expect(now()).toBe(0n)
      local.tryPush({ payload: new Uint8Array(1), userTimestamp: now() })
    }))
})

describe('arguments that signalling passes to the managers of data tracks', () => {
  it.each([undefined, 0, 65_536, 1.5, '1'])('a handle is a number from 1 to 65,535, not %j', (handle) => {
    const manager = new LocalDataTrackManager()
    const outOfRange = { name: 'RangeError', message: expect.stringContaining('pubHandle') }
    expect(thrown(() => manager.handleDemandUpdate(handle as number, true))).toMatchObject(outOfRange)
    expect(thrown(() => manager.handleUnpublishResponse(handle as number))).toMatchObject(outOfRange)
    manager.close()
  })

  it.each([undefined, null, 1, 'true'])('a flag must be a boolean, not %j', (value) => {
    const [local, remote] = [new LocalDataTrackManager(), new RemoteDataTrackManager()]
    const invalid = (name: string) => ({ name: 'TypeError', message: expect.stringContaining(name) })
    const demand = thrown(() => local.handleDemandUpdate(1, value as never))
    expect(demand).toMatchObject(invalid('hasSubscribers'))
    const permission = thrown(() => remote.handleSubscriptionPermission('DTR_1', value as never))
    expect(permission).toMatchObject(invalid('allowed'))
    local.close()
    remote.close()
  })
})
