/** A voice agent of LiveKit's agents framework, `@livekit/agents`, over this package in place of `@livekit/rtc-node`. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AudioStream, RoomEvent } from '../../index'
import type { RemoteParticipant, Room } from '../../index'
import { event, Scene } from '../helpers/scene'
import { withServer } from '../helpers/with-server'
import { AgentProgram, installAgents } from './peers/agents'
import { chromiumTones, pythonTones, rtcNodeTones, share } from './peers/tones'

const server = withServer()
beforeAll(() => {
  installAgents()
  for (const sdk of [rtcNodeTones, pythonTones]) sdk.install()
}, 300_000)

interface Agent {
  readonly participant: RemoteParticipant
  readonly voice: { readonly sid: string }
}

/** The framework takes its time to start, and longer if the machine is busy. */
const TIMEOUT = 120_000

/** What an agent does, as the room of another participant sees it. */
class Watch {
  /** The states that the agent was in, until now. */
  readonly states: string[] = []
  readonly #room: Room
  readonly #published: Promise<RemoteParticipant>
  readonly #transcriptions: ReturnType<Room['transcriptions']>

  constructor(room: Room) {
    this.#room = room
    this.#transcriptions = room.transcriptions()
    const note = ({ 'lk.agent.state': state }: Readonly<Record<string, string>>): void => {
      if (state !== undefined && state !== this.states.at(-1)) this.states.push(state)
    }
    this.#published = event(room, RoomEvent.TrackPublished).then(([, participant]) => {
      note(participant.attributes)
      return participant
    })
    room.on(RoomEvent.ParticipantAttributesChanged, note)
  }

  /** The agent, once it has published its voice. */
  async agent(): Promise<Agent> {
    const participant = await this.#published
    const [publication] = participant.trackPublications.values()
    expect(publication).toMatchObject({ trackName: 'roomio_audio', source: 'microphone' })
    expect(participant.kind).toBe('agent')
    return { participant, voice: { sid: publication!.trackSid } }
  }

  /** Waits until the agent is in that state. */
  async state(wanted: string): Promise<void> {
    while (this.states.at(-1) !== wanted) await event(this.#room, RoomEvent.ParticipantAttributesChanged)
  }

  /** Waits until a transcription of that participant is at its end, and is that text. */
  async transcribed(identity: string, wanted: string): Promise<void> {
    for (;;) {
      const { value, done } = await this.#transcriptions.next()
      if (done === true) throw new Error('the room has ended')
      const { participantIdentity, text, ended } = value
      if (participantIdentity === identity && ended && text === wanted) return
    }
  }

  /** What the agent remembers: who said what, and whether that was interrupted. */
  async history(agent: string): Promise<unknown> {
    return JSON.parse(await this.#call(agent, 'history')) as unknown
  }

  /** Tells the agent to leave, and waits until it has left. */
  async dismiss(agent: string): Promise<void> {
    await this.#call(agent, 'leave')
    while (this.#room.remoteParticipants.has(agent))
      await event(this.#room, RoomEvent.ParticipantDisconnected)
  }

  #call(destinationIdentity: string, method: string): Promise<string> {
    return this.#room.localParticipant.performRpc({ destinationIdentity, method, payload: '' })
  }
}

describe('an agent in a room that its program has connected', () => {
  it(
    'answers texts by voice, and leaves',
    () =>
      Scene.with(server, async (scene) => {
        const caller = await scene.join('caller', { connect: { autoSubscribe: true } })
        const watch = new Watch(caller)
        const subscribed = event(caller, RoomEvent.TrackSubscribed)
        const token = await scene.token('agent', { kind: 'agent', grant: { canUpdateOwnMetadata: true } })
        const program = new AgentProgram('direct.mjs', [server.url, token])
        const { participant } = await watch.agent()
        const [track] = await subscribed
        await watch.state('listening')
        await caller.localParticipant.sendText('350', { topic: 'lk.chat' })
        let row = 0
        for await (const frame of new AudioStream(track, { frameSizeMs: 100 })) {
          row = share(frame, 700) > 0.9 ? row + 1 : 0
          if (row === 10) break
        }
        await watch.transcribed('agent', 'You said 350. I say 700.')
        await watch.state('listening')
        expect(await watch.history('agent')).toEqual([
          ['user', '350', false],
          ['assistant', 'You said 350. I say 700.', false],
        ])
        const left = event(caller, RoomEvent.ParticipantDisconnected)
        expect(await program.end()).toBe('0')
        expect((await left)[0]).toBe(participant)
      }),
    TIMEOUT,
  )
})

describe('an agent that the server dispatches', () => {
  let worker: AgentProgram
  beforeAll(async () => {
    const { apiKey, apiSecret } = server.key
    worker = new AgentProgram('worker.mjs', [], {
      LIVEKIT_URL: server.url,
      LIVEKIT_API_KEY: apiKey,
      LIVEKIT_API_SECRET: apiSecret,
    })
    await worker.line('registered')
  }, TIMEOUT)
  afterAll(async () => {
    expect(await worker.end()).toBe('0')
  }, TIMEOUT)

  it.each([rtcNodeTones, pythonTones, chromiumTones])(
    'answers a caller of $name, and is interrupted',
    (sdk) =>
      Scene.with(server, async (scene) => {
        const caller = await sdk.start()
        const observer = await scene.join('observer')
        const watch = new Watch(observer)
        try {
          await caller.join(server.url, await scene.token('caller'), null)
          const { participant, voice } = await watch.agent()
          await caller.microphone('voice')
          await caller.silence(voice)
          await watch.state('listening')

          await caller.say('voice', 450, 1000)
          await caller.hear(voice, [900])
          await watch.transcribed('caller', '450')
          await watch.transcribed(participant.identity, 'You said 450. I say 900.')
          await watch.state('listening')

          await caller.say('voice', 700, 1000)
          await caller.hear(voice, [1400])
          await caller.say('voice', 300, 600)
          await caller.hear(voice, [600])
          await watch.state('listening')
          expect(await watch.history(participant.identity)).toEqual([
            ['user', '450', false],
            ['assistant', 'You said 450. I say 900.', false],
            ['user', '700', false],
            ['assistant', expect.stringMatching(/^You said 700\./), true],
            ['user', '300', false],
            ['assistant', 'You said 300. I say 600.', false],
          ])
          expect(watch.states.slice(0, 4)).toEqual(['listening', 'thinking', 'speaking', 'listening'])

          await watch.dismiss(participant.identity)
        } finally {
          await caller.close()
        }
      }),
    TIMEOUT,
  )
})
