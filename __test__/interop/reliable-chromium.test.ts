import { describe, expect, it } from 'vitest'
import { nextText } from '../helpers/data-streams'
import { rejection } from '../helpers/rooms'
import { withServer } from '../helpers/with-server'
import { sdks } from './peers/reliable-peer'
import { withPeer } from './reliable'
import { describeReliable } from './reliable-scenarios'

describeReliable(sdks.chromium, sdks.chromiumOld)

describe('livekit-client 2.15.16, which drops unsent data while it resumes', () => {
  const server = withServer()

  it(
    'a text with such a gap ends with an error, and the loss counts as the sender’s',
    () =>
      withPeer(server, sdks.chromiumOld, null, async (room, peer) => {
        const begun = nextText(room, 'made')
        // Long enough to be under way still when the header has come.
        const sent = peer.text(20_000_000, true)
        const { reader } = await begun
        const failed = rejection(reader.readAll())
        expect(await peer.lost()).toBe(0)
        await peer.resume()
        expect(await failed).toMatchObject({ reason: 'incomplete' })
        await sent
        expect(await peer.lost()).toBeGreaterThan(0)
      }),
    60_000,
  )
})
