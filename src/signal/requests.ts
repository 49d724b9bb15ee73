/** Converts the state machines' requests to the protocol's messages. */
import type { NativeEvent, NativeTrackInfo } from '../native/native'
import { encryptionToMessage, infoToMessage, metadataToMessage } from './convert'
import type { PublishedTrackMessage, ReceiveState } from './messages'
import type { DataTrackSignalRequest, SyncStateMessage } from './messages'

/** The native events that have to be sent to the SFU. */
export type RequestEvent = Extract<
  NativeEvent,
  { type: 'publishRequest' | 'unpublishRequest' | 'updateSubscription' }
>

/** The request of an event. */
export function requestOf(event: RequestEvent): DataTrackSignalRequest {
  switch (event.type) {
    case 'publishRequest':
      return {
        case: 'publishDataTrackRequest',
        value: {
          pubHandle: event.handle,
          name: event.name,
          encryption: encryptionToMessage(event.encrypted),
          ...metadataToMessage(event),
        },
      }
    case 'unpublishRequest':
      return { case: 'unpublishDataTrackRequest', value: { pubHandle: event.handle } }
    case 'updateSubscription': {
      const { sid, subscribe, targetFps } = event
      const options = subscribe && targetFps > 0 ? { options: { targetFps } } : {}
      return {
        case: 'updateDataSubscription',
        value: { updates: [{ trackSid: sid, subscribe, ...options }] },
      }
    }
  }
}

/** What a resumed session tells the SFU: its publications, and the last reliable packet of each sender. */
export function syncStateOf(
  publications: readonly NativeTrackInfo[],
  datachannelReceiveStates: readonly ReceiveState[] = [],
  publishTracks: readonly PublishedTrackMessage[] = [],
): SyncStateMessage {
  return {
    ...(publishTracks.length > 0 && { publishTracks }),
    publishDataTracks: publications.map((info) => ({ info: infoToMessage(info) })),
    datachannelReceiveStates,
  }
}
