// A voice agent of LiveKit's agents framework. It talks to the participant "caller".
import { defineAgent, voice } from '@livekit/agents'
import { DoublingLLM, ToneSTT, ToneTTS } from './fakes.mjs'

/** Begins to talk in a room that is connected. Returns the session. */
export async function converse(room) {
  const session = new voice.AgentSession({
    stt: new ToneSTT(),
    llm: new DoublingLLM(),
    tts: new ToneTTS(),
    vad: null,
    turnHandling: { turnDetection: 'stt', endpointing: { minDelay: 0, maxDelay: 0 } },
    // The framework does not let itself be interrupted in its first 3 s, because of echoes.
    aecWarmupDuration: 0,
  })
  await session.start({
    agent: new voice.Agent({ instructions: 'Double what the caller says.' }),
    room,
    inputOptions: { participantIdentity: 'caller' },
  })
  room.localParticipant.registerRpcMethod('history', async () => {
    const messages = session.history.items.filter(({ type }) => type === 'message')
    return JSON.stringify(
      messages.map(({ role, textContent, interrupted }) => [role, textContent, interrupted]),
    )
  })
  return session
}

export default defineAgent({
  async entry(ctx) {
    await ctx.connect()
    const session = await converse(ctx.room)
    ctx.room.localParticipant.registerRpcMethod('leave', async () => {
      ctx.shutdown('a participant asked for it')
      return ''
    })
    // The session ends when the caller leaves.
    session.once(voice.AgentSessionEventTypes.Close, () => ctx.shutdown('the caller left'))
  },
})
