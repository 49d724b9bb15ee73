/** What audio tracks are after what the program, the other participant or an administrator does, on a real server. */
import { setTimeout as delay } from 'node:timers/promises'
import { MediaSectionsRequirement } from '@livekit/protocol'
import { describe, expect, it } from 'vitest'
import { AudioStream, RoomEvent } from '../../index'
import type { LocalTrackPublication, RemoteAudioTrack, RemoteTrackPublication, Room } from '../../index'
import { closes, senderCloses } from '../helpers/audio-stats'
import { Child } from '../helpers/child'
import { event, Scene } from '../helpers/scene'
import { SignalProxy } from '../helpers/signal-proxy'
import { Tone } from '../helpers/tone'
import { heard } from '../helpers/tones'
import { withServer } from '../helpers/with-server'

const server = withServer()

/** How often something is done and undone. */
const ROUNDS = 50
const TONE = 440

/** Reads a new stream of the track until a frame has the tone, or until it is silent. */
async function listen(track: RemoteAudioTrack, until: 'tone' | 'silence'): Promise<void> {
  await using stream = new AudioStream(track, { frameSizeMs: 100 })
  for await (const frame of stream) {
    const { share, level } = heard(frame, TONE)
    if (until === 'tone' ? share > 0.9 : level < 100) return
  }
  throw new Error('the track has ended')
}

/** Reads a stream to its end. Resolves with whether its counters add up. */
async function toTheEnd(track: RemoteAudioTrack): Promise<boolean> {
  const stream = new AudioStream(track)
  await stream.pipeTo(new WritableStream())
  return closes(stream.stats())
}

interface Pair {
  readonly scene: Scene
  readonly alice: Room
  readonly bob: Room
  readonly tone: Tone
  readonly local: LocalTrackPublication
  readonly remote: RemoteTrackPublication
  readonly track: RemoteAudioTrack
  /** The names of both rooms' events about the track, in order. */
  readonly events: string[]
  /** Bob's signalling. */
  readonly proxy: SignalProxy
}

const names = [
  'LocalTrackPublished',
  'LocalTrackUnpublished',
  'TrackPublished',
  'TrackUnpublished',
  'TrackSubscribed',
  'TrackUnsubscribed',
  'TrackSubscriptionFailed',
  'TrackMuted',
  'TrackUnmuted',
  'Disconnected',
] as const

/** Alice publishes a tone, and bob hears it. */
const pair =
  (use: (pair: Pair) => Promise<void>, peerConnections: 'single' | 'dual' = 'single') =>
  (): Promise<void> =>
    Scene.with(server, async (scene) => {
      const proxy = await SignalProxy.start(server.url)
      const tone = new Tone('tone', [TONE])
      try {
        const alice = await scene.join('alice', { connect: { peerConnections } })
        const connect = { peerConnections, autoSubscribe: true } as const
        const bob = await scene.join('bob', { connect, url: proxy.url })
        const subscribed = event(bob, RoomEvent.TrackSubscribed)
        const local = await alice.localParticipant.publishTrack(tone.track)
        const [track, remote] = await subscribed
        await listen(track, 'tone')
        const events: string[] = []
        for (const [who, room] of Object.entries({ alice, bob }))
          for (const name of names) room.on(RoomEvent[name], () => events.push(`${who} ${name}`))
        await use({ scene, alice, bob, tone, local, remote, track, events, proxy })
      } finally {
        await tone.close()
        await proxy.close()
      }
    })

/** What an administrator lets a participant do. */
const allow = (
  { scene }: Pair,
  identity: string,
  change: { readonly canPublish?: boolean; readonly canSubscribe?: boolean },
) =>
  server.admin.updateParticipant(scene.name, identity, undefined, {
    canPublish: true,
    canSubscribe: true,
    canPublishData: true,
    ...change,
  })

describe('muting', () => {
  it(
    `${ROUNDS} times leaves the last state at both ends`,
    pair(async ({ alice, bob, tone, local, remote, track, events }) => {
      for (let round = 0; round < ROUNDS; round++) {
        tone.track.mute()
        if (round % 5 === 0) await delay(30)
        tone.track.unmute()
        if (round % 7 === 0) await delay(30)
      }
      tone.track.mute()
      while (!remote.isMuted) await event(bob, RoomEvent.TrackMuted)
      await listen(track, 'silence')
      const unmuted = event(bob, RoomEvent.TrackUnmuted)
      tone.track.unmute()
      await unmuted
      await listen(track, 'tone')
      const count = (name: string): number => events.filter((each) => each === name).length
      expect([count('alice TrackMuted'), count('alice TrackUnmuted')]).toEqual([ROUNDS + 1, ROUNDS + 1])
      expect(count('bob TrackMuted')).toBe(count('bob TrackUnmuted'))
      expect(local.stats()).toSatisfy(senderCloses)
      expect(local.stats().unitsMuted).toBeGreaterThan(0)
      expect([remote.track, alice.stats().rebuilds, bob.stats().rebuilds]).toEqual([track, 0, 0])
    }),
  )

  it(
    'by an administrator is told to all, and the publisher may unmute',
    pair(async ({ scene, alice, bob, tone, local, remote, track, events }) => {
      const muted = Promise.all([event(alice, RoomEvent.TrackMuted), event(bob, RoomEvent.TrackMuted)])
      await server.admin.mutePublishedTrack(scene.name, 'alice', local.trackSid, true)
      expect(await muted).toEqual([
        [local, alice.localParticipant],
        [remote, bob.remoteParticipants.get('alice')],
      ])
      expect([local.isMuted, tone.track.isMuted, remote.isMuted]).toEqual([true, true, true])
      await listen(track, 'silence')
      const unmuted = event(bob, RoomEvent.TrackUnmuted)
      tone.track.unmute()
      await unmuted
      await listen(track, 'tone')
      expect([...events].sort()).toEqual(
        ['alice', 'bob'].flatMap((who) => [`${who} TrackMuted`, `${who} TrackUnmuted`]),
      )
    }),
  )
})

describe.each(['single', 'dual'] as const)('with %s peer connections', (peerConnections) => {
  it(
    `subscribing and unsubscribing ${ROUNDS} times leaves the last state`,
    pair(async ({ bob, remote, proxy }) => {
      const sections = proxy.audioSections()
      for (let round = 0; round < ROUNDS; round++) {
        remote.setSubscribed(false)
        if (round % 3 === 0) await delay(10 * (round % 11))
        remote.setSubscribed(true)
        if (round % 4 === 0) await delay(10 * (round % 13))
      }
      remote.setSubscribed(false)
      while (remote.isSubscribed) await event(bob, RoomEvent.TrackUnsubscribed)
      // The server handles subscriptions one after the other, with pauses.
      await delay(500)
      expect([remote.isDesired, remote.isSubscribed]).toEqual([false, false])
      const subscribed = event(bob, RoomEvent.TrackSubscribed)
      remote.setSubscribed(true)
      const [track] = await subscribed
      await listen(track, 'tone')
      expect(remote.track).toBe(track)
      const offers = sections.length
      await delay(500)
      expect(sections).toHaveLength(offers)
      expect(bob.stats().rebuilds).toBe(0)
    }, peerConnections),
    60_000,
  )

  it(
    'publishing anew 20 times gives the hearer each track, in two sections at most',
    pair(async ({ alice, bob, tone, proxy }) => {
      const sections = proxy.audioSections()
      const sids = new Set<string>()
      for (let round = 0; round < 20; round++) {
        const gone = event(bob, RoomEvent.TrackUnpublished)
        await alice.localParticipant.unpublishTrack(tone.track)
        await gone
        const subscribed = event(bob, RoomEvent.TrackSubscribed)
        const { trackSid } = await alice.localParticipant.publishTrack(tone.track)
        const [track] = await subscribed
        expect(track.sid).toBe(trackSid)
        sids.add(trackSid)
        if (round % 5 === 4) await listen(track, 'tone')
      }
      expect(sids.size).toBe(20)
      expect(bob.remoteParticipants.get('alice')?.trackPublications.size).toBe(1)
      expect(Math.max(0, ...sections)).toBeLessThanOrEqual(2)
    }, peerConnections),
    60_000,
  )
})

describe('an administrator', () => {
  it(
    'who takes the permission to publish ends the track; it can be published again with the permission',
    pair(async (all) => {
      const { alice, bob, tone, local, track, events } = all
      const ended = toTheEnd(track)
      const gone = Promise.all([
        event(alice, RoomEvent.LocalTrackUnpublished),
        event(bob, RoomEvent.TrackUnpublished),
      ])
      await allow(all, 'alice', { canPublish: false })
      await gone
      expect(await ended).toBe(true)
      expect(events).toContain('bob TrackUnsubscribed')
      expect([local.isPublished, tone.track.sid, tone.source.isClosed]).toEqual([false, undefined, false])
      expect([alice.isConnected, local.stats().packetsQueued]).toEqual([true, 0])
      expect(local.stats()).toSatisfy(senderCloses)
      const again = alice.localParticipant.publishTrack(tone.track)
      await expect(again).rejects.toMatchObject({ reason: 'notAllowed' })
      const allowed = event(alice, RoomEvent.ParticipantPermissionsChanged)
      const subscribed = event(bob, RoomEvent.TrackSubscribed)
      await allow(all, 'alice', {})
      await allowed
      await alice.localParticipant.publishTrack(tone.track)
      await listen((await subscribed)[0], 'tone')
    }),
  )

  it(
    'who takes the permission to subscribe ends the subscription; it begins again with the permission',
    pair(async (all) => {
      const { bob, remote, track } = all
      const ended = toTheEnd(track)
      const unsubscribed = event(bob, RoomEvent.TrackUnsubscribed)
      await allow(all, 'bob', { canSubscribe: false })
      await unsubscribed
      expect(await ended).toBe(true)
      expect([remote.isDesired, remote.isSubscribed, track.isEnded]).toEqual([true, false, true])
      const subscribed = event(bob, RoomEvent.TrackSubscribed)
      await allow(all, 'bob', {})
      const [again] = await subscribed
      expect(again).not.toBe(track)
      await listen(again, 'tone')
    }),
  )

  it(
    'who removes the publisher ends its tracks for both',
    pair(async ({ scene, alice, bob, tone, local, track, events }) => {
      const ended = toTheEnd(track)
      const gone = Promise.all([event(alice, RoomEvent.Disconnected), event(bob, RoomEvent.TrackUnpublished)])
      await server.admin.removeParticipant(scene.name, 'alice')
      await gone
      expect(await ended).toBe(true)
      expect(events.filter((each) => each.startsWith('alice'))).toEqual([
        'alice LocalTrackUnpublished',
        'alice Disconnected',
      ])
      expect([
        local.isPublished,
        tone.source.isClosed,
        alice.localParticipant.trackPublications.size,
      ]).toEqual([false, false, 0])
      expect(local.stats()).toSatisfy(senderCloses)
      expect(bob.remoteParticipants.has('alice')).toBe(false)
    }),
  )

  it(
    'who removes the hearer ends its streams, and the track stays published',
    pair(async ({ scene, bob, local, track, events }) => {
      const ended = toTheEnd(track)
      const gone = event(bob, RoomEvent.Disconnected)
      await server.admin.removeParticipant(scene.name, 'bob')
      await gone
      expect(await ended).toBe(true)
      expect([track.isEnded, local.isPublished]).toEqual([true, true])
      expect(events.filter((each) => each.startsWith('alice'))).toEqual([])
      const carol = await scene.join('carol', { connect: { autoSubscribe: true } })
      const publication = carol.remoteParticipants.get('alice')!.trackPublications.get(local.trackSid)!
      while (publication.track === undefined) await event(carol, RoomEvent.TrackSubscribed)
      await listen(publication.track, 'tone')
    }),
  )
})

it(
  'a publisher that lets a participant subscribe no longer ends its subscription, until it does again',
  pair(async ({ alice, bob, remote, track }) => {
    const unsubscribed = event(bob, RoomEvent.TrackUnsubscribed)
    alice.localParticipant.setTrackSubscriptionPermissions(false, [])
    await unsubscribed
    expect([remote.isDesired, remote.isSubscribed, track.isEnded]).toEqual([true, false, true])
    const subscribed = event(bob, RoomEvent.TrackSubscribed)
    alice.localParticipant.setTrackSubscriptionPermissions(true)
    await listen((await subscribed)[0], 'tone')
  }),
)

it(
  'a track that is given up before its section is offered costs a few sections, and no offers without end',
  pair(async ({ bob, remote, proxy, events }) => {
    const unsubscribed = event(bob, RoomEvent.TrackUnsubscribed)
    remote.setSubscribed(false)
    await unsubscribed
    // A participant that has no section yet, so that the server has to ask for one.
    await bob.disconnect()
    await bob.connect(proxy.url, await server.token(bob.name, 'carol'))
    const sections = proxy.audioSections()
    const publication = bob.remoteParticipants.get('alice')!.trackPublications.values().next().value!
    const asked = proxy.keepBack('mediaSectionsRequirement')
    publication.setSubscribed(true)
    await asked
    publication.setSubscribed(false)
    // The server waits a moment before it ends the subscription, and says that it needs an offer. Then it goes on to ask
    // for a section for a track that it does not send.
    await proxy.next('mediaSectionsRequirement')
    proxy.say({ case: 'mediaSectionsRequirement', value: new MediaSectionsRequirement({ numAudios: 1 }) })
    await proxy.next('answer')
    await delay(2000)
    const offers = sections.length
    await delay(1000)
    expect(sections).toHaveLength(offers)
    expect(offers).toBeLessThanOrEqual(6)
    const subscribed = event(bob, RoomEvent.TrackSubscribed)
    publication.setSubscribed(true)
    await listen((await subscribed)[0], 'tone')
    expect(Math.max(...sections)).toBeLessThanOrEqual(8)
    expect(events).toContain('bob TrackSubscribed')
  }),
)

it('a process exits by itself after its room is disconnected, with sound in its queue and streams that nobody reads', () =>
  Scene.with(server, async (scene) => {
    const alice = await scene.join('alice')
    const tone = new Tone('tone', [TONE])
    try {
      await alice.localParticipant.publishTrack(tone.track)
      const program = `
        const room = new datatrack.Room()
        const subscribed = new Promise((resolve) => room.once('trackSubscribed', resolve))
        await room.connect(${JSON.stringify(server.url)}, ${JSON.stringify(await scene.token('bob'))}, { autoSubscribe: true })
        const source = new datatrack.AudioSource(48_000, 1, 5000)
        const track = datatrack.LocalAudioTrack.createAudioTrack('bobs', source)
        await room.localParticipant.publishTrack(track)
        await source.captureFrame(datatrack.AudioFrame.create(48_000, 1, 200_000))
        const remote = await subscribed
        globalThis.unread = new datatrack.AudioStream(remote)
        for await (const frame of new datatrack.AudioStream(remote)) if (frame.data.some(Boolean)) break
        const closed = new datatrack.AudioStream(remote)
        const reading = closed.getReader().read()
        closed.close()
        await reading
        await room.disconnect()
        say(source.queuedDuration > 0)`
      await Child.with(program, {}, async (child) => {
        expect(await child.next()).toBe(true)
        expect(await child.end()).toEqual({ code: 0, stderr: '' })
      })
    } finally {
      await tone.close()
    }
  }))
