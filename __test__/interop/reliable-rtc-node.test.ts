import { beforeAll, expect, it } from 'vitest'
import { nextText } from '../helpers/data-streams'
import { withServer } from '../helpers/with-server'
import { sdks } from './peers/reliable-peer'
import { withPeer } from './reliable'
import { describeReliable } from './reliable-scenarios'

describeReliable(sdks.rtcNode)

const server = withServer()
beforeAll(() => {
  sdks.rtcNode.install()
}, 300_000)

it('a text that an agent writes in the name of a participant is complete, and has the participant’s identity', () =>
  withPeer(
    server,
    sdks.rtcNode,
    null,
    async (room, agent, scene) => {
      const speaker = await scene.join('speaker')
      const arriving = nextText(room, 'made')
      await agent.behalf('speaker', ['hello ', 'there'])
      const { reader, identity } = await arriving
      expect(identity).toBe('speaker')
      expect(await reader.readAll()).toBe('hello there')
      // The agent's stream is not the speaker's: it goes on when the speaker leaves.
      const second = nextText(room, 'made')
      const pieces = Array.from({ length: 50 }, (_, index) => `piece ${index}, `)
      const writing = agent.behalf('speaker', pieces)
      const { reader: longer } = await second
      await speaker.disconnect()
      await writing
      expect(await longer.readAll()).toBe(pieces.join(''))
    },
    {},
    { kind: 'agent' },
  ))

it('a participant that is no agent can write in its own name only', () =>
  withPeer(server, sdks.rtcNode, null, async (room, peer) => {
    const arriving = nextText(room, 'made')
    await peer.behalf('speaker', ['hello'])
    const { reader, identity } = await arriving
    expect(identity).toBe('peer')
    expect(await reader.readAll()).toBe('hello')
  }))
