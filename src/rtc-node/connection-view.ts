/** One connection of a room, as `@livekit/rtc-node` shows it: the participants, and the room's events. */
import type { RemoteTrackPublication as OwnRemotePublication } from '../media/remote-publication'
import type { LocalTrackPublication as OwnLocalPublication } from '../media/local-publication'
import type { LocalParticipant as OwnLocal } from '../room/local-participant'
import { RemoteParticipant as OwnRemote } from '../room/remote-participant'
import type { RoomEvents } from '../room/events'
import type { Room as OwnRoom } from '../room/room'
import { encryptionNumber, packetKindNumber, qualityNumber, reasonNumber, stateNumber } from './convert'
import { ConnectionState } from './enums'
import { RoomEvent } from './events'
import type { RoomCallbacks } from './events'
import { LocalParticipant, RemoteParticipant, shownMessage } from './participants'
import type { Participant } from './participants'
import type { LocalTrackPublication, RemoteTrackPublication } from './publications'

/** Emits an event of the room that the program has. */
export type Emit = <Name extends keyof RoomCallbacks>(
  event: Name,
  ...args: Parameters<RoomCallbacks[Name]>
) => void

/** What the view tells its room. */
export interface ViewOwner {
  readonly emit: Emit
  /** The state has changed. */
  stateChanged(state: ConnectionState): void
  tokenRefreshed(token: string): void
  ended(): void
}

/** When the room is disconnected, rtc-node keeps its remote participants and their tracks, and tells of `disconnected`. */
const endWithRoom: ReadonlySet<keyof RoomEvents> = new Set([
  'participantDisconnected',
  'trackUnpublished',
  'trackUnsubscribed',
])

/**
 * Begins before the room is connected, so that nothing is missed. rtc-node tells of participants and tracks that are
 * there already by its maps, and not by events; and its events come after `connect` has resolved.
 */
export class ConnectionView {
  readonly local: LocalParticipant
  readonly remotes: Map<string, RemoteParticipant>
  readonly #room: OwnRoom
  readonly #owner: ViewOwner
  readonly #shown = new WeakMap<OwnRemote, RemoteParticipant>()
  /** Events that wait until the program has had its turn after `connect`; `undefined` afterwards. */
  #held: (() => void)[] | undefined = []
  #sid = ''

  constructor(room: OwnRoom, remotes: Map<string, RemoteParticipant>, encrypted: boolean, owner: ViewOwner) {
    this.#room = room
    this.#owner = owner
    this.remotes = remotes
    this.local = new LocalParticipant(room.localParticipant, encrypted)
    this.#listenToRoom()
    this.#listenToParticipants()
    this.#listenToRemoteTracks()
    this.#listenToLocalTracks()
    this.#listenToMessages()
  }

  /** The room is connected. */
  connected(): void {
    this.#sid = this.#room.sid
    this.remotes.clear()
    for (const own of this.#room.remoteParticipants.values()) {
      const participant = this.#remote(own)
      this.remotes.set(own.identity, participant)
      for (const [sid, publication] of own.trackPublications)
        participant.trackPublications.set(sid, participant.publicationOf(publication))
    }
    this.#owner.stateChanged(ConnectionState.CONN_CONNECTED)
    setImmediate(() => this.release())
  }

  /** Emits the events that wait. */
  release(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const tell of held) tell()
  }

  #on<Name extends keyof RoomEvents>(event: Name, listener: RoomEvents[Name]): void {
    const tell = (...args: Parameters<RoomEvents[Name]>): void => {
      if (endWithRoom.has(event) && this.#room.state === 'disconnected') return
      const call = () => (listener as (...all: unknown[]) => void)(...args)
      if (this.#held === undefined) call()
      else this.#held.push(call)
    }
    this.#room.on(event, tell as RoomEvents[Name])
  }

  #listenToRoom(): void {
    const { emit } = this.#owner
    this.#on('connectionStateChanged', (state) => {
      if (state === 'reconnecting') this.#owner.stateChanged(stateNumber(state))
    })
    this.#on('reconnecting', () => emit(RoomEvent.Reconnecting))
    this.#on('reconnected', () => {
      this.#owner.stateChanged(ConnectionState.CONN_CONNECTED)
      emit(RoomEvent.Reconnected)
      this.#sidMayHaveChanged()
    })
    this.#on('disconnected', (reason) => {
      this.#owner.ended()
      this.#owner.stateChanged(ConnectionState.CONN_DISCONNECTED)
      emit(RoomEvent.Disconnected, reasonNumber(reason))
    })
    this.#on('moved', () => {
      emit(RoomEvent.Moved)
      this.#sidMayHaveChanged()
    })
    this.#on('tokenRefreshed', (token) => {
      this.#owner.tokenRefreshed(token)
      emit(RoomEvent.TokenRefreshed)
    })
    this.#on('roomMetadataChanged', (metadata) => {
      emit(RoomEvent.RoomMetadataChanged, metadata)
      emit(RoomEvent.RoomUpdated)
    })
    this.#on('recordingStatusChanged', () => emit(RoomEvent.RoomUpdated))
    this.#on('encryptionError', (error) => emit(RoomEvent.EncryptionError, error))
  }

  #listenToParticipants(): void {
    const { emit } = this.#owner
    this.#on('participantConnected', (own) => {
      const participant = this.#remote(own)
      if (this.remotes.get(own.identity) === participant) return
      this.remotes.set(own.identity, participant)
      emit(RoomEvent.ParticipantConnected, participant)
    })
    this.#on('participantDisconnected', (own) => {
      const participant = this.#remote(own)
      if (this.remotes.get(own.identity) === participant) this.remotes.delete(own.identity)
      emit(RoomEvent.ParticipantDisconnected, participant)
    })
    this.#on('participantMetadataChanged', (_, own) =>
      emit(RoomEvent.ParticipantMetadataChanged, own.metadata, this.#participant(own)),
    )
    this.#on('participantNameChanged', (name, own) =>
      emit(RoomEvent.ParticipantNameChanged, name, this.#participant(own)),
    )
    this.#on('participantAttributesChanged', (changed, own) =>
      emit(RoomEvent.ParticipantAttributesChanged, { ...changed }, this.#participant(own)),
    )
    this.#on('activeSpeakersChanged', (speakers) =>
      emit(
        RoomEvent.ActiveSpeakersChanged,
        speakers.map((own) => this.#participant(own)),
      ),
    )
    this.#on('connectionQualityChanged', (quality, own) =>
      emit(RoomEvent.ConnectionQualityChanged, qualityNumber(quality), this.#participant(own)),
    )
  }

  #listenToRemoteTracks(): void {
    const { emit } = this.#owner
    this.#on('trackPublished', (own, publisher) => {
      const participant = this.#remote(publisher)
      const publication = participant.publicationOf(own)
      if (participant.trackPublications.get(own.trackSid) === publication) return
      participant.trackPublications.set(own.trackSid, publication)
      emit(RoomEvent.TrackPublished, publication, participant)
    })
    this.#on('trackUnpublished', (own, publisher) => {
      const participant = this.#remote(publisher)
      const publication = participant.publicationOf(own)
      if (participant.trackPublications.get(own.trackSid) === publication)
        participant.trackPublications.delete(own.trackSid)
      emit(RoomEvent.TrackUnpublished, publication, participant)
    })
    this.#on('trackSubscribed', (track, own, publisher) => {
      const participant = this.#remote(publisher)
      const publication = participant.publicationOf(own)
      emit(RoomEvent.TrackSubscribed, publication.trackOf(track), publication, participant)
    })
    this.#on('trackUnsubscribed', (track, own, publisher) => {
      const participant = this.#remote(publisher)
      const publication = participant.publicationOf(own)
      emit(RoomEvent.TrackUnsubscribed, publication.trackOf(track), publication, participant)
    })
    this.#on('trackSubscriptionFailed', (sid, own, reason) =>
      emit(RoomEvent.TrackSubscriptionFailed, sid, this.#remote(own), reason),
    )
    this.#on('trackMuted', (own, publisher) =>
      emit(RoomEvent.TrackMuted, this.#publication(own, publisher), this.#participant(publisher)),
    )
    this.#on('trackUnmuted', (own, publisher) =>
      emit(RoomEvent.TrackUnmuted, this.#publication(own, publisher), this.#participant(publisher)),
    )
  }

  #listenToLocalTracks(): void {
    const { emit } = this.#owner
    this.#on('localTrackPublished', (own) => {
      const publication = this.local.publicationOf(own)
      this.local.trackPublications.set(own.trackSid, publication)
      emit(RoomEvent.LocalTrackPublished, publication, this.local)
    })
    this.#on('localTrackUnpublished', (own) => {
      const publication = this.local.publicationOf(own)
      this.local.trackPublications.delete(own.trackSid)
      emit(RoomEvent.LocalTrackUnpublished, publication, this.local)
      publication.ended()
    })
    this.#on('localTrackRepublished', (own, previousSid) => {
      const publication = this.local.publicationOf(own)
      this.local.trackPublications.delete(previousSid)
      this.local.trackPublications.set(own.trackSid, publication)
      emit(RoomEvent.LocalTrackRepublished, publication, previousSid, this.local)
    })
    this.#on('localTrackSubscribed', (own) => {
      const { track } = this.local.publicationOf(own)
      if (track !== undefined) emit(RoomEvent.LocalTrackSubscribed, track)
    })
  }

  #listenToMessages(): void {
    const { emit } = this.#owner
    this.#on('dataReceived', (payload, sender, kind, topic, encryption) => {
      const participant = sender && this.#remote(sender)
      emit(
        RoomEvent.DataReceived,
        payload,
        participant,
        packetKindNumber(kind),
        topic,
        encryptionNumber(encryption),
      )
    })
    this.#on('chatMessage', (message, sender) => {
      // This package also tells of the local participant's messages.
      if (sender === this.#room.localParticipant) return
      emit(RoomEvent.ChatMessage, shownMessage(message), sender && this.#participant(sender))
    })
    this.#on('sipDTMFReceived', ({ code, digit }, sender) => {
      if (sender !== undefined) emit(RoomEvent.DtmfReceived, code, digit, this.#remote(sender))
    })
  }

  #sidMayHaveChanged(): void {
    if (this.#room.sid === this.#sid) return
    this.#sid = this.#room.sid
    this.#owner.emit(RoomEvent.RoomSidChanged, this.#sid)
  }

  #participant(own: OwnLocal | OwnRemote): Participant {
    return own instanceof OwnRemote ? this.#remote(own) : this.local
  }

  #remote(own: OwnRemote): RemoteParticipant {
    const known = this.#shown.get(own)
    if (known !== undefined) return known
    const participant = new RemoteParticipant(own)
    this.#shown.set(own, participant)
    return participant
  }

  #publication(
    own: OwnLocalPublication | OwnRemotePublication,
    publisher: OwnLocal | OwnRemote,
  ): LocalTrackPublication | RemoteTrackPublication {
    return publisher instanceof OwnRemote
      ? this.#remote(publisher).publicationOf(own as OwnRemotePublication)
      : this.local.publicationOf(own as OwnLocalPublication)
  }
}
