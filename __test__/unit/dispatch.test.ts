/* eslint-disable @typescript-eslint/no-unsafe-enum-assignment -- the numbers of the wire are what is tested */
import { beforeEach, describe, expect, it } from 'vitest'
import {
  DataTrackInfo as DataTrackInfoMessage,
  DataTrackSubscriberHandles,
  JoinResponse,
  ParticipantUpdate,
  PublishDataTrackRequest,
  RequestResponse,
  SignalResponse,
  SubscriptionPermissionUpdate,
} from '@livekit/protocol'
import { setLogger, SignalDispatcher } from '../../index'
import { signalParts } from '../../src/signal/parts'
import { requestOf, syncStateOf } from '../../src/signal/requests'
import type { NativeTrackInfo } from '../../src/native/native'

const calls: unknown[][] = []
const handlers = {
  handlePublishResponse: (...args: unknown[]) => void calls.push(['published', ...args]),
  handlePublishRejected: (...args: unknown[]) => void calls.push(['rejected', ...args]),
  handleUnpublishResponse: (...args: unknown[]) => void calls.push(['unpublished', ...args]),
  handlePublicationUpdate: (...args: unknown[]) => void calls.push(['update', ...args]),
  handleSubscriberHandles: (...args: unknown[]) => void calls.push(['handles', ...args]),
  handleSubscriptionPermission: (...args: unknown[]) => void calls.push(['permission', ...args]),
}

const message = { pubHandle: 1, sid: 'DTR_a', name: 'a', encryption: 0 }
const info = { pubHandle: 1, sid: 'DTR_a', name: 'a', usesE2ee: false }

let dispatcher: SignalDispatcher
let warnings: string[]

beforeEach(() => {
  calls.length = 0
  warnings = []
  const ignore = () => undefined
  const warn = (_fields: object, text: string) => void warnings.push(text)
  setLogger({ trace: ignore, debug: ignore, info: ignore, warn, error: ignore })
  dispatcher = new SignalDispatcher({ local: handlers, remote: handlers, identity: 'me' })
})

function dispatch(kind: string | undefined, value: unknown): boolean {
  return dispatcher.dispatch({ message: { case: kind, value } })
}

describe('a dispatcher', () => {
  it('handles and consumes messages that are about data tracks only', () => {
    expect(dispatch('publishDataTrackResponse', { info: message })).toBe(true)
    expect(dispatch('unpublishDataTrackResponse', { info: message })).toBe(true)
    expect(dispatch('dataTrackSubscriberHandles', { subHandles: { 5: { trackSid: 'DTR_a' } } })).toBe(true)
    expect(calls).toEqual([
      ['published', info],
      ['unpublished', 1],
      ['handles', new Map([[5, 'DTR_a']])],
    ])
  })

  it('reads the tracks in updates of participants, and leaves the message to others', () => {
    const other = { identity: 'you', sid: 'PA_1', state: 2, dataTracks: [message] }
    const self = { identity: 'me', sid: 'PA_2', state: 2, dataTracks: [message] }
    expect(dispatch('join', { participant: self, otherParticipants: [other] })).toBe(false)
    expect(dispatch('update', { participants: [self, other, { ...other, state: 3 }] })).toBe(false)
    expect(calls).toEqual([
      ['update', 'you', [info]],
      ['update', 'you', [info]],
      ['update', 'you', []],
    ])
  })

  it('passes on whether a publisher permits this participant to subscribe', () => {
    const value = new SubscriptionPermissionUpdate({ trackSid: 'DTR_a', allowed: false })
    const response = new SignalResponse({ message: { case: 'subscriptionPermissionUpdate', value } })
    for (const part of signalParts(response.toBinary())) {
      if (part !== undefined) expect(dispatcher.dispatch(part)).toBe(false)
    }
    expect(calls).toEqual([['permission', 'DTR_a', false]])
  })

  it('does not end a participant’s new session when its old session ends', () => {
    const participant = { identity: 'you', sid: 'PA_new', state: 2, dataTracks: [message] }
    dispatch('update', { participants: [participant, { identity: 'you', sid: 'PA_old', state: 3 }] })
    expect(calls).toEqual([['update', 'you', [info]]])
  })

  it('translates the reasons for which the server refuses a request', () => {
    const reasons = {
      2: 'notAllowed',
      3: 'limitReached',
      8: 'invalidName',
      9: 'duplicateHandle',
      10: 'duplicateName',
    }
    const request = { case: 'publishDataTrack', value: { pubHandle: 4 } }
    for (const [reason, name] of Object.entries({ ...reasons, 6: 'unknown', 7: 'unknown', 99: 'unknown' })) {
      calls.length = 0
      expect(dispatch('requestResponse', { reason: Number(reason), message: 'no', request })).toBe(true)
      expect(calls).toEqual([['rejected', 4, name, 'no']])
    }
    calls.length = 0
    // Accepted or queued: the answer is a message of its own.
    for (const reason of [0, 4])
      expect(dispatch('requestResponse', { reason, message: '', request })).toBe(true)
    const unpublish = { case: 'unpublishDataTrack', value: { pubHandle: 4 } }
    expect(dispatch('requestResponse', { reason: 7, message: '', request: unpublish })).toBe(true)
    expect(
      dispatch('requestResponse', { reason: 2, message: '', request: { case: 'mute', value: {} } }),
    ).toBe(false)
    expect(calls).toEqual([])
  })

  it('skips a malformed entry, keeps the others and logs the fault', () => {
    const bad = [
      null,
      1,
      {},
      { ...message, pubHandle: 0 },
      { ...message, sid: 5 },
      { ...message, pubHandle: 65_536 },
    ]
    dispatch('update', {
      participants: [
        null,
        { identity: '' },
        { identity: 'you', sid: '', state: 2, dataTracks: [...bad, message] },
      ],
    })
    dispatch('dataTrackSubscriberHandles', {
      subHandles: {
        0: { trackSid: 'x' },
        1: null,
        2: { trackSid: 3 },
        65536: { trackSid: 'x' },
        9: { trackSid: 'ok' },
      },
    })
    expect(calls).toEqual([
      ['update', 'you', [info]],
      ['handles', new Map([[9, 'ok']])],
    ])
    expect(warnings).toEqual([
      `skipped ${bad.length} malformed parts of DataTrackInfo`,
      'skipped 2 malformed parts of update',
      'skipped 4 malformed parts of dataTrackSubscriberHandles',
    ])
  })

  it('accepts any value in any message without throwing', () => {
    const cases = [
      'publishDataTrackResponse',
      'unpublishDataTrackResponse',
      'requestResponse',
      'dataTrackSubscriberHandles',
      'join',
      'update',
      'roomMoved',
      'unheardOf',
      undefined,
    ]
    for (const kind of cases) {
      for (const value of [
        undefined,
        null,
        0,
        'text',
        [],
        {},
        { info: null },
        { participants: 7 },
        { request: {} },
      ]) {
        expect(typeof dispatch(kind, value)).toBe('boolean')
      }
    }
    expect(calls).toEqual([])
  })

  it('consumes no message for a side that it does not serve', () => {
    dispatcher = new SignalDispatcher({ remote: handlers })
    expect(dispatch('publishDataTrackResponse', { info: message })).toBe(false)
    dispatcher = new SignalDispatcher({ local: handlers })
    expect(dispatch('dataTrackSubscriberHandles', { subHandles: {} })).toBe(false)
    dispatch('update', { participants: [{ identity: 'you', sid: '', state: 2, dataTracks: [message] }] })
    expect(calls).toEqual([])
  })

  it('accepts the messages of the package @livekit/protocol', () => {
    const track = new DataTrackInfoMessage({
      ...message,
      encryption: 1,
      frameEncoding: { value: { case: 'wellKnown', value: 7 } },
      schema: { name: 's', encoding: { value: { case: 'custom', value: 'mine' } } },
    })
    const expected = {
      ...info,
      usesE2ee: true,
      frameEncoding: 'json',
      schema: { name: 's', encoding: 'custom:mine' },
    }
    const send = (response: ConstructorParameters<typeof SignalResponse>[0]) =>
      dispatcher.dispatch(SignalResponse.fromBinary(new SignalResponse(response).toBinary()))
    const otherParticipants = [{ identity: 'you', sid: 'PA_1', state: 2, dataTracks: [track] }]
    send({ message: { case: 'join', value: new JoinResponse({ otherParticipants }) } })
    send({ message: { case: 'update', value: new ParticipantUpdate({ participants: otherParticipants }) } })
    const subHandles = { 300: { trackSid: 'DTR_a', publisherIdentity: 'you', publisherSid: 'PA_1' } }
    send({
      message: { case: 'dataTrackSubscriberHandles', value: new DataTrackSubscriberHandles({ subHandles }) },
    })
    const value = new PublishDataTrackRequest({ pubHandle: 3 })
    const refusal = new RequestResponse({
      reason: 10,
      message: 'no',
      request: { case: 'publishDataTrack', value },
    })
    send({ message: { case: 'requestResponse', value: refusal } })
    expect(calls).toEqual([
      ['update', 'you', [expected]],
      ['update', 'you', [expected]],
      ['handles', new Map([[300, 'DTR_a']])],
      ['rejected', 3, 'duplicateName', 'no'],
    ])
  })
})

describe('requests', () => {
  const native: NativeTrackInfo = {
    pubHandle: 2,
    sid: 'DTR_b',
    name: 'b',
    encrypted: true,
    frameEncoding: 'other:42',
    schemaName: 's',
    schemaEncoding: 'custom:mine',
  }

  it('have the shape that the package @livekit/protocol expects', () => {
    const { sid: _sid, pubHandle: handle, ...rest } = native
    const request = requestOf({ source: 1, type: 'publishRequest', handle, ...rest })
    expect(request.case).toBe('publishDataTrackRequest')
    const encoded = PublishDataTrackRequest.fromBinary(
      new PublishDataTrackRequest(request.value as any).toBinary(),
    )
    expect(encoded.toJson()).toEqual({
      pubHandle: 2,
      name: 'b',
      encryption: 'GCM',
      frameEncoding: { wellKnown: 42 },
      schema: { name: 's', encoding: { custom: 'mine' } },
    })
    const bare = { ...rest, encrypted: false, frameEncoding: null, schemaName: null, schemaEncoding: null }
    expect(requestOf({ source: 1, type: 'publishRequest', handle, ...bare }).value).toEqual({
      pubHandle: 2,
      name: 'b',
      encryption: 0,
    })
  })

  it('name the tracks to subscribe to, and the wanted frame rate if there is one', () => {
    const event = {
      source: 1,
      type: 'updateSubscription',
      sid: 'DTR_b',
      subscribe: true,
      targetFps: 0,
    } as const
    expect(requestOf(event).value).toEqual({ updates: [{ trackSid: 'DTR_b', subscribe: true }] })
    expect(requestOf({ ...event, targetFps: 30 }).value).toEqual({
      updates: [{ trackSid: 'DTR_b', subscribe: true, options: { targetFps: 30 } }],
    })
    expect(requestOf({ source: 1, type: 'unpublishRequest', handle: 2 })).toEqual({
      case: 'unpublishDataTrackRequest',
      value: { pubHandle: 2 },
    })
    expect(syncStateOf([native]).publishDataTracks).toHaveLength(1)
  })
})
