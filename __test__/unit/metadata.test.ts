import { getEventListeners } from 'node:events'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { Loopback, Room, RoomEvent, SignalRequestError } from '../../index'
import { PendingRequests, REQUEST_TIMEOUT } from '../../src/room/pending-requests'
import { OwnProfile } from '../../src/room/profile'
import type { Profile } from '../../src/room/profile'
import { changesOf, isOlder, joinedAtOf, kindOf } from '../../src/room/participant-info'
import { publish, rejection, until, withPair } from '../helpers/rooms'
import type { Pair } from '../helpers/rooms'

/** What a room tells of changes, in order. */
function changes(room: Room): unknown[] {
  const heard: unknown[] = []
  room.on(RoomEvent.ParticipantNameChanged, (...args) => heard.push(['name', args[0], args[1].identity]))
  room.on(RoomEvent.ParticipantMetadataChanged, (...args) =>
    heard.push(['metadata', args[0], args[1].identity]),
  )
  room.on(RoomEvent.ParticipantAttributesChanged, (...args) =>
    heard.push(['attributes', args[0], args[1].identity]),
  )
  room.on(RoomEvent.ParticipantPermissionsChanged, (...args) =>
    heard.push(['permissions', args[0], args[1].identity]),
  )
  room.on(RoomEvent.RoomMetadataChanged, (metadata) => heard.push(['room', metadata]))
  return heard
}

const bobsAlice = ({ bob }: Pair) => bob.remoteParticipants.get('alice')!

describe('metadata, name and attributes of a participant', () => {
  it('can be set, and all participants see the change by an event', async () => {
    await withPair(async (pair) => {
      const { alice, bob } = pair
      const [mine, theirs] = [changes(alice), changes(bob)]
      const { localParticipant } = alice
      await localParticipant.setMetadata('m1')
      expect(localParticipant.metadata).toBe('m1')
      await localParticipant.setMetadata('m2')
      await localParticipant.setName('Alice')
      await localParticipant.setAttributes({ a: '1', b: '2' })
      await localParticipant.setAttributes({ a: '', c: '3' })
      expect(localParticipant.attributes).toEqual({ b: '2', c: '3' })
      expect(mine).toEqual([
        ['metadata', '', 'alice'],
        ['metadata', 'm1', 'alice'],
        ['name', 'Alice', 'alice'],
        ['attributes', { a: '1', b: '2' }, 'alice'],
        ['attributes', { a: '', c: '3' }, 'alice'],
      ])
      await until(() => theirs.length === mine.length)
      expect(theirs).toEqual(mine)
      expect(bobsAlice(pair)).toMatchObject({ name: 'Alice', metadata: 'm2', attributes: { b: '2', c: '3' } })
    })
  })

  it('can be set at the same time without undoing each other', async () => {
    await withPair(async ({ alice: { localParticipant } }) => {
      await Promise.all([
        localParticipant.setName('Alice'),
        localParticipant.setMetadata('m'),
        localParticipant.setAttributes({ a: '1' }),
        localParticipant.setAttributes({ b: '2' }),
      ])
      expect(localParticipant).toMatchObject({ name: 'Alice', metadata: 'm', attributes: { a: '1', b: '2' } })
    })
  })

  it('emit no event if the new value equals the old one', async () => {
    await withPair(async ({ alice }) => {
      await alice.localParticipant.setName('Alice')
      const heard = changes(alice)
      await alice.localParticipant.setName('Alice')
      await alice.localParticipant.setAttributes({})
      await alice.localParticipant.setAttributes({ gone: '' })
      expect(heard).toEqual([])
    })
  })

  it('are refused as notAllowed without the permission, and do not change', async () => {
    const permissions = { canUpdateMetadata: false }
    await withPair(
      async ({ alice: { localParticipant } }) => {
        expect(localParticipant.permissions?.canUpdateMetadata).toBe(false)
        for (const attempt of [
          localParticipant.setMetadata('m'),
          localParticipant.setName('n'),
          localParticipant.setAttributes({ a: '1' }),
        ]) {
          const error = await rejection(attempt)
          expect(error).toBeInstanceOf(SignalRequestError)
          expect(error).toMatchObject({ code: 'ERR_DATATRACK_SIGNAL_REQUEST', reason: 'notAllowed' })
        }
        expect(localParticipant).toMatchObject({ name: '', metadata: '', attributes: {} })
      },
      {},
      { alice: { permissions } },
    )
  })

  it('are refused as limitExceeded if they are too large', async () => {
    await withPair(async ({ alice: { localParticipant } }) => {
      for (const attempt of [
        localParticipant.setMetadata('m'.repeat(512 * 1024 + 1)),
        localParticipant.setName('ü'.repeat(129)),
        localParticipant.setAttributes({ a: 'x'.repeat(64 * 1024) }),
      ]) {
        expect((await rejection(attempt)).reason).toBe('limitExceeded')
      }
      await localParticipant.setName('ü'.repeat(128))
    })
  })

  it('are refused with an error that names the argument if they are not strings, or if a key is empty', async () => {
    await withPair(async ({ alice: { localParticipant } }) => {
      const set = localParticipant as unknown as Record<string, (value: unknown) => Promise<void>>
      for (const [method, value, type, name] of [
        ['setMetadata', 5, TypeError, 'metadata'],
        ['setMetadata', undefined, TypeError, 'metadata'],
        ['setMetadata', '', RangeError, 'metadata.length'],
        ['setName', null, TypeError, 'name'],
        ['setName', '', RangeError, 'name.length'],
        ['setAttributes', 'a', TypeError, 'attributes'],
        ['setAttributes', ['a'], TypeError, 'attributes'],
        ['setAttributes', { a: 1 }, TypeError, 'attributes.a'],
      ] as const) {
        const error = await rejection(set[method]!.call(localParticipant, value))
        expect(error).toBeInstanceOf(type)
        expect(error.message).toContain(`"${name}"`)
      }
    })
  })

  it('keep their values while the connection is rebuilt, and a waiting change is sent afterwards', async () => {
    for (const kind of ['resume', 'full'] as const) {
      await withPair(async (pair) => {
        const { sfu, alice } = pair
        const heard = changes(pair.bob)
        await alice.localParticipant.setAttributes({ before: '1' })
        const reconnecting = sfu.reconnect('alice', kind)
        const setting = alice.localParticipant.setMetadata('m')
        await Promise.all([reconnecting, setting])
        expect(alice.localParticipant).toMatchObject({ metadata: 'm', attributes: { before: '1' } })
        await until(() => heard.length === 2)
        expect(heard).toEqual([
          ['attributes', { before: '1' }, 'alice'],
          ['metadata', '', 'alice'],
        ])
      })
    }
  })

  it('cannot be set before the room connects, nor after it has ended', async () => {
    const room = new Room()
    expect((await rejection(room.localParticipant.setName('x'))).reason).toBe('disconnected')
    await withPair(async ({ sfu, alice }) => {
      const pending = rejection(alice.localParticipant.setName('x'))
      sfu.kick('alice')
      expect((await pending).reason).toBe('disconnected')
      expect((await rejection(alice.localParticipant.setName('x'))).reason).toBe('disconnected')
    })
  })

  it('can be aborted: the call rejects with the signal’s reason, and leaves no listener', async () => {
    await withPair(async ({ alice: { localParticipant } }) => {
      const controller = new AbortController()
      const { signal } = controller
      await localParticipant.setName('a', { signal })
      expect(getEventListeners(signal, 'abort')).toHaveLength(0)
      const pending = rejection(localParticipant.setName('b', { signal }))
      controller.abort('enough')
      expect(await pending).toBe('enough')
      expect(await rejection(localParticipant.setName('c', { signal }))).toBe('enough')
      expect(getEventListeners(signal, 'abort')).toHaveLength(0)
    })
  })
})

describe('an administrator', () => {
  it('changes name, metadata and attributes of a participant', async () => {
    await withPair(async ({ sfu, alice, bob }) => {
      await alice.localParticipant.setAttributes({ a: '1', b: '2' })
      const heard = changes(bob)
      sfu.updateParticipant('alice', { name: 'A', metadata: 'm', attributes: { a: '' } })
      await until(() => heard.length === 3)
      expect(heard).toEqual([
        ['name', 'A', 'alice'],
        ['metadata', '', 'alice'],
        ['attributes', { a: '' }, 'alice'],
      ])
    })
  })

  it('changes permissions: both ends report it, and tracks that are not permitted any more end', async () => {
    await withPair(async (pair) => {
      const { sfu, alice, bob } = pair
      const { local } = await publish(pair)
      const [mine, theirs] = [changes(alice), changes(bob)]
      const before = alice.localParticipant.permissions
      expect(before).toMatchObject({
        canSubscribe: true,
        canPublish: true,
        canPublishData: true,
        canUpdateMetadata: true,
        hidden: false,
      })
      sfu.updateParticipant('alice', { permission: { canPublishData: false } })
      await until(() => theirs.length === 1)
      expect(mine).toEqual([['permissions', before, 'alice']])
      expect(theirs).toEqual(mine)
      expect(alice.localParticipant.permissions).toEqual({ ...before, canPublishData: false })
      expect(bobsAlice(pair).permissions).toEqual(alice.localParticipant.permissions)
      expect(local.isPublished()).toBe(false)
      expect(local.signal.reason.reason).toBe('sfu')
      const refused = await rejection(alice.localParticipant.publishDataTrack({ name: 'again' }))
      expect(refused.reason).toBe('notAllowed')
    })
  })

  it('gets an error for an unknown participant, and for a wrong type', async () => {
    await withPair(({ sfu }) => {
      expect(() => sfu.updateParticipant('nobody', {})).toThrow(RangeError)
      expect(() => sfu.updateParticipant('alice', { name: 5 as never })).toThrow(/options\.name/)
      expect(() => sfu.updateParticipant('alice', { permission: { canPublishData: 1 as never } })).toThrow(
        /options\.permission\.canPublishData/,
      )
      return Promise.resolve()
    })
  })
})

describe('the room', () => {
  it('has a name, a SID and metadata, and emits an event when they change', async () => {
    const room = new Room()
    expect([room.name, room.sid, room.metadata]).toEqual(['', '', ''])
    const sfu = new Loopback()
    sfu.updateRoomMetadata('before')
    const heard = changes(room)
    sfu.join('alice', { room })
    expect([room.name, room.metadata]).toEqual(['loopback', 'before'])
    expect(room.sid).toMatch(/^RM_\w{12}$/)
    expect(heard).toEqual([])
    sfu.updateRoomMetadata('after')
    await until(() => heard.length > 0)
    expect(heard).toEqual([['room', 'after']])
    expect(room.metadata).toBe('after')
    // What changed while the connection was away is told when it is back.
    for (const kind of ['resume', 'full'] as const) {
      const back = sfu.reconnect('alice', kind)
      sfu.updateRoomMetadata(kind)
      await back
      await until(() => room.metadata === kind)
    }
    expect(heard.slice(1)).toEqual([
      ['room', 'resume'],
      ['room', 'full'],
    ])
    sfu.close()
  })

  it('finds participants by identity, also the local one', async () => {
    await withPair(({ bob }) => {
      expect(bob.getParticipantByIdentity('alice')).toBe(bob.remoteParticipants.get('alice'))
      expect(bob.getParticipantByIdentity('bob')).toBe(bob.localParticipant)
      expect(bob.getParticipantByIdentity('carol')).toBeUndefined()
      expect(new Room().getParticipantByIdentity('')).toBeUndefined()
      return Promise.resolve()
    })
  })

  it('knows the kind of each participant, and when it joined', async () => {
    const before = Date.now()
    await withPair(({ alice: { localParticipant } }) => {
      expect(localParticipant.kind).toBe('standard')
      expect(localParticipant.joinedAt!.getTime()).toBeGreaterThanOrEqual(before)
      expect(localParticipant.joinedAt!.getTime()).toBeLessThanOrEqual(Date.now())
      return Promise.resolve()
    })
    expect(new Room().localParticipant).toMatchObject({ kind: 'standard', joinedAt: undefined })
    expect([kindOf(4), kindOf(7), kindOf(99)]).toEqual(['agent', 'connector', 'other:99'])
    const info = { sid: '', identity: 'a', state: 2 }
    expect(joinedAtOf({ ...info, joinedAt: 5n, joinedAtMs: 0n })).toEqual(new Date(5000))
    expect(joinedAtOf({ ...info, joinedAt: 5n, joinedAtMs: 5001n })).toEqual(new Date(5001))
  })
})

describe('a participant update of the server', () => {
  const info = { sid: 'PA_1', identity: 'a', state: 2, name: 'n', version: 3 }

  it('is ignored if it is older than the known state of the same session', () => {
    expect(isOlder({ ...info, version: 2 }, info)).toBe(true)
    expect(isOlder({ ...info, version: 3 }, info)).toBe(false)
    expect(isOlder({ ...info, sid: 'PA_2', version: 1 }, info)).toBe(false)
  })

  it('changes only the fields that it contains', () => {
    expect(changesOf(info, { ...info })).toEqual({})
    expect(changesOf(info, { ...info, name: '' })).toEqual({ name: '' })
    expect(changesOf({ ...info, attributes: { __proto__x: '1' } }, info)).toEqual({
      attributes: { __proto__x: '' },
    })
  })
})

describe('a request', () => {
  const make = (requestId: number) =>
    ({ case: 'updateMetadata', value: { requestId, metadata: 'm', name: '', attributes: {} } }) as const
  const none = { signal: undefined }

  it('settles at its deadline if no answer arrives', async () => {
    const requests = new PendingRequests(() => undefined, 5)
    const error = await rejection(requests.request(make, none))
    expect(error).toBeInstanceOf(SignalRequestError)
    expect(error.reason).toBe('timeout')
    // An answer that comes too late belongs to no request.
    expect(requests.handle('requestResponse', { requestId: 1, reason: 0 })).toBe(false)
  })

  it('keeps waiting if the server answers that it is queued, and is settled by its own answer only', async () => {
    const sent: number[] = []
    const requests = new PendingRequests(({ value }) => sent.push(value.requestId))
    const [first, second] = [requests.request(make, none), rejection(requests.request(make, none))]
    expect(sent).toEqual([1, 2])
    expect(requests.handle('requestResponse', { requestId: 1, reason: 4 })).toBe(true)
    expect(requests.handle('requestResponse', { requestId: 3, reason: 0 })).toBe(false)
    expect(requests.handle('requestResponse', { reason: 0 })).toBe(false)
    expect(requests.handle('update', { requestId: 1 })).toBe(false)
    requests.handle('requestResponse', { requestId: 2, reason: 5, message: 'never heard of it' })
    const error = await second
    expect([error.reason, error.message]).toEqual([
      'unsupported',
      'the server does not support the request: never heard of it',
    ])
    requests.resend()
    expect(sent).toEqual([1, 2, 1])
    requests.handle('requestResponse', { requestId: 1, reason: 0 })
    await first
    requests.resend()
    expect(sent).toHaveLength(3)
  })

  it('translates each reason of the server', async () => {
    const reasons = [
      'notFound',
      'notAllowed',
      'limitExceeded',
      undefined,
      'unsupported',
      'internal',
      'internal',
    ]
    const requests = new PendingRequests(() => undefined)
    for (const [index, reason] of [...reasons, 'invalidRequest', 'internal'].entries()) {
      if (reason === undefined) continue
      let id = 0
      const failed = rejection(requests.request((requestId) => make((id = requestId)), none))
      requests.handle('requestResponse', { requestId: id, reason: index + 1 })
      expect((await failed).reason).toBe(reason)
    }
  })

  it('succeeds when its effect shows, for servers that do not answer', async () => {
    const requests = new PendingRequests(() => undefined)
    let shows = false
    const done = requests.request(make, { signal: undefined, done: () => shows })
    requests.updated()
    shows = true
    requests.updated()
    expect(await done).toEqual({})
  })

  it('fails when the room is closed, and so does a later one', async () => {
    const requests = new PendingRequests(() => undefined)
    const pending = rejection(requests.request(make, none))
    requests.close()
    expect((await pending).reason).toBe('disconnected')
    expect((await rejection(requests.request(make, none))).reason).toBe('disconnected')
  })
})

describe('the local participant’s profile in a new session', () => {
  afterEach(() => vi.useRealTimers())

  /** A profile of which that was set here, and what it asks for; every request succeeds at once. */
  async function profile(mine: Profile, ...set: Partial<Profile>[]) {
    const sent: unknown[] = []
    const requests: PendingRequests = new PendingRequests(({ case: kind, value }) => {
      if (kind !== 'updateMetadata') throw new Error(kind)
      const { requestId, ...update } = value
      sent.push(update)
      queueMicrotask(() => requests.handle('requestResponse', { requestId, reason: 0 }))
    })
    const own = new OwnProfile(mine, requests)
    for (const update of set) await own.update(update, undefined)
    return { own, sent: () => sent.splice(0) }
  }
  const now = { name: 'Alice', metadata: 'm', attributes: { a: '1', b: '2' } }
  const token = { name: '', metadata: 'of the token', attributes: { c: '3', d: '4' } }

  it('is set again, as far as this room had set it', async () => {
    const { own, sent } = await profile(now, { metadata: 'earlier' }, { attributes: { a: '0', d: '' } })
    expect(sent()).toHaveLength(2)
    own.restore(token)
    expect(sent()).toEqual([{ name: '', metadata: 'm', attributes: { a: '1', d: '' } }])
  })

  it('is not set again if the server still has it, or if this room had set nothing', async () => {
    const { own, sent } = await profile(now, { name: 'Alice', attributes: { a: '1' } })
    sent()
    own.restore({ ...token, name: 'Alice', attributes: { a: '1' } })
    expect(sent()).toEqual([])
    const other = await profile(now)
    other.own.restore(token)
    expect(other.sent()).toEqual([])
  })

  it('is set again in the session after that if the new session was lost first', async () => {
    vi.useFakeTimers()
    const sent: unknown[] = []
    const requests = new PendingRequests(({ value }) => sent.push(value))
    const mine = { ...now }
    const own = new OwnProfile(mine, requests)
    const setting = own.update({ metadata: 'm' }, undefined)
    requests.handle('requestResponse', { requestId: 1, reason: 0 })
    await setting
    own.restore(token)
    // What the room does then: the server's word counts. And the request is not answered in time.
    mine.metadata = token.metadata
    await vi.advanceTimersByTimeAsync(REQUEST_TIMEOUT)
    own.restore(token)
    expect(sent).toMatchObject([{ metadata: 'm' }, { metadata: 'm' }, { metadata: 'm' }])
    // Answered, it is done with, whatever others set later.
    requests.handle('requestResponse', { requestId: 3, reason: 0 })
    await vi.advanceTimersByTimeAsync(0)
    own.restore(token)
    expect(sent).toHaveLength(3)
    requests.close()
  })

  it('does not overwrite what a running call sets', async () => {
    const sent: unknown[] = []
    const requests = new PendingRequests(({ value }) => sent.push(value))
    const own = new OwnProfile(now, requests)
    const setting = own.update({ metadata: 'm', attributes: { a: '1' } }, undefined)
    requests.handle('requestResponse', { requestId: 1, reason: 0 })
    await setting
    const next = rejection(own.update({ metadata: 'next', attributes: { a: '2' } }, undefined))
    own.restore(token)
    expect(sent).toHaveLength(2)
    requests.close()
    await next
  })
})
