// A participant of @livekit/rtc-node. It has no data tracks, so it sends lossy data packets with the track's name as
// topic.
import { dispose, Room, RoomEvent } from '@livekit/rtc-node'
import { serveAdapter } from './stdio.mjs'

const room = new Room()
const idle = []
const topics = new Map()
const options = { autoSubscribe: false, dynacast: false }

room.on(RoomEvent.DataReceived, (payload, _participant, _kind, topic) => topics.get(topic)?.(payload))

serveAdapter({
  connect: (url, token) => room.connect(url, token, options),
  async room(url, token) {
    const another = new Room()
    idle.push(another)
    await another.connect(url, token, options)
  },
  publish: async (topic) => (payload) =>
    room.localParticipant.publishData(payload.slice(), { reliable: false, topic }),
  async subscribe(topic, onFrame) {
    topics.set(topic, onFrame)
  },
  registerRpc(method, answer) {
    room.localParticipant.registerRpcMethod(method, async ({ payload }) => answer(payload))
  },
  call: (destinationIdentity, method, payload) =>
    room.localParticipant.performRpc({ destinationIdentity, method, payload, responseTimeout: 15_000 }),
  openStream: (topic, identity, totalSize) =>
    room.localParticipant.streamBytes({ name: 'bench', topic, totalSize, destinationIdentities: [identity] }),
  onStream(topic, onChunk, onEnd) {
    room.registerByteStreamHandler(topic, async (reader) => {
      for await (const chunk of reader) onChunk(chunk)
      onEnd()
    })
  },
  async disconnect() {
    await Promise.all([room, ...idle].map((each) => each.disconnect()))
    await dispose()
  },
})
