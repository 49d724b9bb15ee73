/** Audio tracks through the loopback: who hears whom, and what. Tones are heard as they are said, in real time. */
import { describe, expect, it } from 'vitest'
import { AudioStream, debug, ExternalE2EEKeyProvider, Room, RoomEvent, TrackPublishError } from '../../index'
import type { LoopbackJoinOptions, RemoteAudioTrack, RoomOptions, TrackPublishOptions } from '../../index'
import { closes, senderCloses } from '../helpers/audio-stats'
import { rejection, thrown, turn, until } from '../helpers/rooms'
import { hears, nextTrack, opened, publicationsOf, Stage } from '../helpers/voices'

const hearing: LoopbackJoinOptions = { autoSubscribe: true }

/** Alice publishes a tone, and Bob subscribes to it. */
async function heardBy(stage: Stage, tone = 400, options: TrackPublishOptions = {}, joining = hearing) {
  const alice = stage.sfu.join('alice')
  const bob = stage.sfu.join('bob', joining)
  const subscribed = nextTrack(bob)
  const voice = stage.voice(tone)
  const publication = await alice.localParticipant.publishTrack(voice.track, options)
  return { alice, bob, voice, publication, track: await subscribed }
}

async function readToTheEnd(stream: AudioStream): Promise<void> {
  const reader = stream.getReader()
  while (!(await reader.read()).done);
}

describe('a published track', () => {
  it('is heard, by the room that subscribed to it and by its publisher’s counters', async () => {
    await using stage = new Stage()
    const { alice, bob, publication, track } = await heardBy(stage)
    expect(publication.trackSid).toMatch(/^TR_/)
    expect(publication.mimeType).toBe('audio/red')
    const [seen] = publicationsOf(bob, 'alice')
    expect(seen).toMatchObject({ trackSid: publication.trackSid, trackName: '400 Hz', source: 'microphone' })
    expect(seen).toMatchObject({ isSubscribed: true, isMuted: false, isEncrypted: false, track })
    await publication.waitForSubscription()
    const stream = await opened(track, 400)
    expect([alice.numPublishers, bob.numPublishers]).toEqual([1, 1])
    expect(closes(stream.stats())).toBe(true)
    expect(senderCloses(publication.stats())).toBe(true)
    expect(stream.stats()).toMatchObject({ packetsLost: 0, packetsRepaired: 0, packetsLate: 0 })
    expect(publication.stats()).toMatchObject({ packetsDropped: 0, unitsFailed: 0 })
    expect(stage.sfu.stats()).toMatchObject({ lost: 0, duplicated: 0 })
  })

  it('with two channels is heard with two', async () => {
    await using stage = new Stage()
    const alice = stage.sfu.join('alice')
    const bob = stage.sfu.join('bob', hearing)
    const subscribed = nextTrack(bob)
    const { track } = stage.voice(500, 'stereo', 2)
    const publication = await alice.localParticipant.publishTrack(track)
    expect(publication.mimeType).toBe('audio/opus')
    const stream = new AudioStream(await subscribed, { numChannels: 2 })
    await hears(stream, 500)
  })

  it('is heard by two, and by one that joins later', async () => {
    await using stage = new Stage()
    const { track } = await heardBy(stage)
    const later = await nextTrack(stage.sfu.join('carol', hearing))
    await Promise.all([opened(track, 400), opened(later, 400)])
  })

  it('is not heard by a room that does not subscribe; others are heard both ways', async () => {
    await using stage = new Stage()
    const [alice, bob] = [stage.sfu.join('alice', hearing), stage.sfu.join('bob', hearing)]
    const deaf = stage.sfu.join('carol')
    const tracks = [nextTrack(alice), nextTrack(bob)] as const
    await alice.localParticipant.publishTrack(stage.voice(400).track)
    await bob.localParticipant.publishTrack(stage.voice(700).track)
    await Promise.all([opened(await tracks[0], 700), opened(await tracks[1], 400)])
    expect([...publicationsOf(deaf, 'alice'), ...publicationsOf(deaf, 'bob')]).toMatchObject([
      { isSubscribed: false, isDesired: false },
      { isSubscribed: false, isDesired: false },
    ])
  })

  it('of a participant that publishes three is told from the others', async () => {
    await using stage = new Stage()
    const [alice, bob] = [stage.sfu.join('alice'), stage.sfu.join('bob', hearing)]
    const heard: Promise<AudioStream>[] = []
    bob.on(RoomEvent.TrackSubscribed, (track, { trackName }) =>
      heard.push(opened(track, parseInt(trackName))),
    )
    for (const tone of [400, 700, 1_100]) await alice.localParticipant.publishTrack(stage.voice(tone).track)
    await until(() => heard.length === 3)
    await Promise.all(heard)
  })

  it('can be published while the room joins, and is in the request', async () => {
    await using stage = new Stage()
    const bob = stage.sfu.join('bob', hearing)
    const room = new Room()
    const publishing: Promise<unknown>[] = []
    room.once(RoomEvent.ConnectionStateChanged, () => {
      for (const tone of [400, 700, 1_100, 1_300])
        publishing.push(room.localParticipant.publishTrack(stage.voice(tone).track))
    })
    const tones: Promise<AudioStream>[] = []
    bob.on(RoomEvent.TrackSubscribed, (track, { trackName }) =>
      tones.push(opened(track, parseInt(trackName))),
    )
    // The first three are in the request to join, so others see them with the participant.
    bob.once(RoomEvent.ParticipantConnected, () => expect(publicationsOf(bob, 'alice')).toHaveLength(3))
    stage.sfu.join('alice', { room })
    await Promise.all(publishing)
    expect(room.localParticipant.trackPublications.size).toBe(4)
    await until(() => tones.length === 4)
    await Promise.all(tones)
  })

  it('ends for its subscribers when it is unpublished, after all that was said', async () => {
    await using stage = new Stage({ delay: 40 })
    const { alice, bob, voice, publication, track } = await heardBy(stage)
    const ended = new Promise((resolve) => bob.once(RoomEvent.TrackUnpublished, resolve))
    const stream = await opened(track, 400)
    const { noRoute } = stage.sfu.stats()
    voice.say(0)
    await voice.source.waitForPlayout()
    expect(await alice.localParticipant.unpublishTrack(voice.track)).toBe(publication)
    await readToTheEnd(stream)
    await ended
    expect(track.isEnded).toBe(true)
    expect(stage.sfu.stats()).toMatchObject({ noRoute, forwarded: publication.stats().packetsSent - noRoute })
    expect(publicationsOf(bob, 'alice')).toEqual([])
    // Its place is free for the same track again.
    const again = nextTrack(bob)
    voice.say(700)
    await alice.localParticipant.publishTrack(voice.track)
    await opened(await again, 700)
  })

  it('ends by decision of the SFU, and is muted by it', async () => {
    await using stage = new Stage()
    const { alice, bob, publication } = await heardBy(stage)
    const told: string[] = []
    for (const room of [alice, bob]) {
      room.on(RoomEvent.TrackMuted, (_, { identity }) => told.push(`muted ${identity}`))
      room.on(RoomEvent.TrackUnmuted, (_, { identity }) => told.push(`unmuted ${identity}`))
      room.on(RoomEvent.TrackUnpublished, () => told.push('unpublished'))
      room.on(RoomEvent.LocalTrackUnpublished, () => told.push('local unpublished'))
    }
    expect(stage.sfu.mute(publication.trackSid)).toBe(true)
    await turn()
    expect(publication.isMuted).toBe(true)
    expect(stage.sfu.mute(publication.trackSid, false)).toBe(true)
    await turn()
    expect(stage.sfu.unpublish(publication.trackSid)).toBe(true)
    await turn()
    expect(publication.isPublished).toBe(false)
    expect([stage.sfu.unpublish(publication.trackSid), stage.sfu.mute('TR_none')]).toEqual([false, false])
    expect(told.sort()).toEqual(
      [
        ...[
          'local unpublished',
          'muted alice',
          'muted alice',
          'unmuted alice',
          'unmuted alice',
          'unpublished',
        ],
      ].sort(),
    )
  })
})

describe('a subscription', () => {
  it('to a muted track hears silence until it is unmuted', async () => {
    await using stage = new Stage()
    const { bob, voice, publication, track } = await heardBy(stage)
    const stream = await opened(track, 400)
    const muted = new Promise((resolve) => bob.once(RoomEvent.TrackMuted, resolve))
    publication.mute()
    await muted
    for await (const { data } of stream) if (data.every((sample) => sample === 0)) break
    const other = new AudioStream(track)
    voice.say(700)
    publication.unmute()
    await hears(other, 700)
    expect(publicationsOf(bob, 'alice')[0]?.isMuted).toBe(false)
    expect(closes(other.stats())).toBe(true)
    expect(publication.stats().unitsMuted).toBeGreaterThan(0)
  })

  it('ends and begins again, ten times', async () => {
    await using stage = new Stage()
    const { bob, track } = await heardBy(stage)
    const [publication] = publicationsOf(bob, 'alice')
    let before: RemoteAudioTrack = track
    for (let round = 0; round < 10; round++) {
      const gone = new Promise((resolve) => bob.once(RoomEvent.TrackUnsubscribed, resolve))
      publication!.setSubscribed(false)
      await gone
      expect(before.isEnded).toBe(true)
      const again = nextTrack(bob)
      publication!.setSubscribed(true)
      const now = await again
      expect(now).not.toBe(before)
      before = now
    }
    await opened(before, 400)
  })

  it('to an encrypted track needs the key', async () => {
    await using stage = new Stage()
    const encryption = async (passphrase: string): Promise<RoomOptions['encryption']> => {
      const keyProvider = new ExternalE2EEKeyProvider()
      await keyProvider.setKey(passphrase)
      return { keyProvider }
    }
    const alice = stage.sfu.join('alice', { encryption: await encryption('right') })
    const bob = stage.sfu.join('bob', { ...hearing, encryption: await encryption('right') })
    const carol = stage.sfu.join('carol', { ...hearing, encryption: await encryption('wrong') })
    const plain = stage.sfu.join('plain', hearing)
    const [right, wrong] = [nextTrack(bob), nextTrack(carol)]
    const refused = new Promise((resolve) =>
      plain.once(RoomEvent.TrackSubscriptionFailed, (_sid, _participant, reason) => resolve(reason)),
    )
    const publication = await alice.localParticipant.publishTrack(stage.voice(400).track)
    await until(() => publicationsOf(plain, 'alice').length > 0)
    publicationsOf(plain, 'alice')[0]!.setSubscribed(true)
    expect([publication.isEncrypted, await refused]).toEqual([true, 'noDecryption'])
    const deaf = new AudioStream(await wrong)
    await opened(await right, 400)
    await until(() => deaf.stats().packetsUndecryptable > 5)
    expect(deaf.stats().packetsDecoded).toBe(0)
  })
})

describe('permissions', () => {
  it('decide who may publish what', async () => {
    await using stage = new Stage()
    const reasonOf = async (
      permissions: LoopbackJoinOptions['permissions'],
      options?: TrackPublishOptions,
    ) => {
      const room = stage.sfu.join('alice', { permissions })
      const error = await rejection(room.localParticipant.publishTrack(stage.voice(400).track, options))
      expect(error).toBeInstanceOf(TrackPublishError)
      return error.reason
    }
    expect(await reasonOf({ canPublish: false })).toBe('notAllowed')
    expect(await reasonOf({ canPublishSources: ['camera'] })).toBe('notAllowed')
    const { localParticipant } = stage.sfu.join('bob', { permissions: { canPublishSources: ['microphone'] } })
    expect(localParticipant.permissions).toMatchObject({
      canPublishSources: ['microphone'],
      canPublish: true,
    })
    await localParticipant.publishTrack(stage.voice(400).track)
    expect(() => stage.sfu.join('c', { permissions: { canPublishSources: ['mouth' as 'camera'] } })).toThrow(
      'options.permissions.canPublishSources[0]',
    )
    expect(thrown(() => stage.sfu.join('c', { hidden: 1 as never })).message).toContain('options.hidden')
  })

  it('that are taken away end tracks and subscriptions; given back, subscriptions begin again', async () => {
    await using stage = new Stage()
    const { alice, bob, publication, track } = await heardBy(stage)
    stage.sfu.updateParticipant('bob', { permission: { canSubscribe: false } })
    await until(() => track.isEnded)
    const again = nextTrack(bob)
    stage.sfu.updateParticipant('bob', { permission: { canSubscribe: true } })
    await opened(await again, 400)
    const unpublished = new Promise((resolve) => alice.once(RoomEvent.LocalTrackUnpublished, resolve))
    stage.sfu.updateParticipant('alice', { permission: { canPublishSources: ['camera'] } })
    expect(await unpublished).toBe(publication)
    expect(publicationsOf(bob, 'alice')).toEqual([])
  })

  it('of the publisher decide who hears it', async () => {
    await using stage = new Stage()
    const { alice, bob, track } = await heardBy(stage)
    alice.localParticipant.setTrackSubscriptionPermissions(false, [])
    await until(() => track.isEnded)
    const again = nextTrack(bob)
    alice.localParticipant.setTrackSubscriptionPermissions(false, [
      { participantIdentity: 'bob', allowAll: true },
    ])
    await opened(await again, 400)
  })

  it('an agent publishes and hears, and a refusal on request concerns audio, too', async () => {
    await using stage = new Stage()
    const agent = stage.sfu.join('agent', { kind: 'agent', autoSubscribe: true })
    const caller = stage.sfu.join('caller', hearing)
    stage.sfu.rejectNextPublish('limitReached')
    const voice = stage.voice(400)
    const refused = await rejection(agent.localParticipant.publishTrack(voice.track))
    expect(refused).toMatchObject({ name: 'TrackPublishError', reason: 'limitReached' })
    const [question, answer] = [nextTrack(agent), nextTrack(caller)]
    await caller.localParticipant.publishTrack(stage.voice(700).track)
    await opened(await question, 700)
    await agent.localParticipant.publishTrack(voice.track)
    await opened(await answer, 400)
    expect(caller.remoteParticipants.get('agent')?.isAgent).toBe(true)
  })

  it('a hidden participant hears, and is not seen', async () => {
    await using stage = new Stage()
    const alice = stage.sfu.join('alice', hearing)
    const spy = stage.sfu.join('spy', { ...hearing, hidden: true })
    const heard = nextTrack(spy)
    const publication = await alice.localParticipant.publishTrack(stage.voice(400).track)
    await publication.waitForSubscription()
    await opened(await heard, 400)
    await spy.localParticipant.publishTrack(stage.voice(700).track)
    await spy.localParticipant.publishData(new Uint8Array(1), { reliable: true })
    await turn()
    expect([...alice.remoteParticipants.keys()]).toEqual([])
    expect([...spy.remoteParticipants.keys()]).toEqual(['alice'])
    expect([alice.numParticipants, spy.localParticipant.permissions?.hidden]).toEqual([1, true])
    expect([...stage.sfu.join('late').remoteParticipants.keys()]).toEqual(['alice'])
  })
})

describe('a bad network', () => {
  it.each([true, false])('loses packets, which RED repairs: %s', async (red) => {
    await using stage = new Stage({ loss: 0.2 })
    const { publication, track } = await heardBy(stage, 400, { red })
    const stream = new AudioStream(track)
    while (publication.stats().packetsSent < 60) await hears(stream, 400)
    const [sent, heard, { lost }] = [publication.stats(), stream.stats(), stage.sfu.stats()]
    expect([senderCloses(sent), closes(heard)]).toEqual([true, true])
    expect(lost).toBeGreaterThan(3)
    expect(heard.packetsRepaired > heard.packetsLost).toBe(red)
    if (!red) expect([heard.packetsRepaired, heard.packetsLost > 0]).toEqual([0, true])
  })

  it('delays, duplicates and reorders packets, and all are counted', async () => {
    await using stage = new Stage({ duplicate: 0.3, reorder: 0.2, delay: 20, jitter: 10 })
    const { publication, track } = await heardBy(stage, 400, { red: false })
    const stream = await opened(track, 400)
    while (publication.stats().packetsSent < 40) await hears(stream, 400)
    const [heard, { duplicated, reordered, lost }] = [stream.stats(), stage.sfu.stats()]
    expect(closes(heard)).toBe(true)
    expect([duplicated > 0, reordered > 0, lost]).toEqual([true, true, 0])
    expect(heard.packetsDuplicate + heard.packetsLate).toBeGreaterThan(0)
  })
})

describe('a reconnect', () => {
  it('of either side leaves objects and streams as they are if it is resumed', async () => {
    await using stage = new Stage()
    const { bob, voice, publication, track } = await heardBy(stage)
    const stream = await opened(track, 400)
    await stage.sfu.reconnect('alice', 'resume')
    await stage.sfu.reconnect('bob', 'resume')
    voice.say(700)
    await hears(stream, 700)
    expect(publicationsOf(bob, 'alice')).toMatchObject([{ trackSid: publication.trackSid, track }])
  })

  it('that rebuilds the subscriber’s connection goes on in the same stream', async () => {
    await using stage = new Stage()
    const { voice, track } = await heardBy(stage)
    const stream = await opened(track, 400)
    await stage.sfu.reconnect('bob', 'full')
    voice.say(700)
    await hears(stream, 700)
    expect([track.isEnded, closes(stream.stats())]).toEqual([false, true])
  })

  it('that rebuilds the publisher’s connection publishes again, under new SIDs, from the same objects', async () => {
    await using stage = new Stage()
    const { alice, bob, voice, publication, track } = await heardBy(stage)
    const more = [700, 1_100, 1_300].map((tone) => stage.voice(tone))
    for (const { track } of more) await alice.localParticipant.publishTrack(track)
    const before = publication.trackSid
    const republished: string[] = []
    alice.on(RoomEvent.LocalTrackRepublished, (_, sid) => republished.push(sid))
    const subscribed = () => publicationsOf(bob, 'alice').filter(({ isSubscribed }) => isSubscribed)
    await until(() => subscribed().length === 4)
    publication.mute()
    await stage.sfu.reconnect('alice', 'full')
    await until(() => track.isEnded && subscribed().length === 4)
    expect(republished).toHaveLength(4)
    expect(publication.trackSid).not.toBe(before)
    const seen = publicationsOf(bob, 'alice').find(({ trackSid }) => trackSid === publication.trackSid)
    expect(seen).toMatchObject({ isMuted: true, trackName: '400 Hz' })
    voice.say(500)
    publication.unmute()
    await opened(seen!.track!, 500)
    expect(senderCloses(publication.stats())).toBe(true)
  })

  it('finds what was done meanwhile: published, unpublished, subscribed, muted', async () => {
    await using stage = new Stage()
    const { alice, bob, voice, publication } = await heardBy(stage)
    const other = stage.voice(700)
    const second = stage.voice(1_100)
    await alice.localParticipant.publishTrack(second.track)
    const resumed = stage.sfu.reconnect('alice', 'resume')
    const publishing = alice.localParticipant.publishTrack(other.track)
    await alice.localParticipant.unpublishTrack(second.track)
    publication.mute()
    await resumed
    await publishing
    const names = () => publicationsOf(bob, 'alice').map(({ trackName, isMuted }) => [trackName, isMuted])
    await until(() => names().length === 2)
    expect(names().sort()).toEqual([
      ['400 Hz', true],
      ['700 Hz', false],
    ])
    // The SFU ended a track, of which its publisher was not told.
    const back = stage.sfu.reconnect('alice', 'resume')
    stage.sfu.unpublish(publication.trackSid)
    await back
    await until(() => !publication.isPublished)
    expect(voice.track.publication).toBeUndefined()
  })
})

describe('the end', () => {
  it('of the loopback ends tracks and streams, in the middle of a word', async () => {
    const stage = new Stage({ delay: 20 })
    const { alice, publication, track } = await heardBy(stage)
    const stream = await opened(track, 400)
    await stage[Symbol.asyncDispose]()
    await readToTheEnd(stream)
    expect([track.isEnded, publication.isPublished, alice.state]).toEqual([true, false, 'disconnected'])
    expect(closes(stream.stats()) && senderCloses(publication.stats())).toBe(true)
  })

  it('of a room comes after its last words', async () => {
    await using stage = new Stage({ delay: 40 })
    const { alice, bob, voice, publication, track } = await heardBy(stage)
    const stream = await opened(track, 400)
    const left = new Promise((resolve) => bob.once(RoomEvent.ParticipantDisconnected, resolve))
    const { noRoute } = stage.sfu.stats()
    voice.say(0)
    await voice.source.waitForPlayout()
    await alice.disconnect()
    await left
    await readToTheEnd(stream)
    expect(stage.sfu.stats()).toMatchObject({ noRoute, forwarded: publication.stats().packetsSent - noRoute })
    // The same track in a room that joins under the same name.
    const again = nextTrack(bob)
    voice.say(700)
    await stage.sfu.join('alice').localParticipant.publishTrack(voice.track)
    await opened(await again, 700)
  })

  it('leaves nothing behind, however often', async () => {
    const alive = (): string[] => debug.handles().map(({ kind }) => kind)
    expect(alive()).toEqual([])
    for (let round = 0; round < 10; round++) {
      const stage = new Stage()
      const { alice, track, publication } = await heardBy(stage)
      const stream = new AudioStream(track)
      if (round % 2 === 0) await stage.sfu.reconnect('alice', 'full')
      if (round % 3 === 0) stream.close()
      if (round % 3 === 1) await alice.disconnect()
      await stage[Symbol.asyncDispose]()
      await stream.cancel().catch(() => undefined)
      expect(publication.isPublished).toBe(false)
    }
    await until(() => alive().length === 0)
  })
})
