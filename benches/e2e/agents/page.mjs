// A participant of livekit-client, in a page. All processes of a machine share the clock that it reads.
import * as livekit from '/livekit-client.mjs'
import { Engine } from '/engine.mjs'

livekit.setLogLevel('silent')

const room = new livekit.Room()
const idle = []
const published = new Map()
const waiting = new Map()
const options = { autoSubscribe: false }

room.on(livekit.RoomEvent.DataTrackPublished, (track) => {
  const { name } = track.info
  published.set(name, track)
  waiting.get(name)?.(track)
})

async function read(stream, onFrame) {
  for await (const frame of stream) onFrame(frame.payload)
}

globalThis.bench = new Engine({
  now: () => performance.timeOrigin + performance.now(),
  // A repeated setTimeout waits at least 4 ms. This does not.
  pause: (ms) => globalThis.scheduler.postTask(() => {}, { delay: ms }),
  connect: (url, token) => room.connect(url, token, options),
  async room(url, token) {
    const another = new livekit.Room()
    idle.push(another)
    await another.connect(url, token, options)
  },
  async publish(name) {
    const track = await room.localParticipant.publishDataTrack({ name })
    // livekit-client reads the payload after the call returns, too.
    return (payload) => track.tryPush({ payload: payload.slice() })
  },
  async subscribe(name, onFrame) {
    const track = published.get(name) ?? (await new Promise((resolve) => waiting.set(name, resolve)))
    void read(track.subscribe({ bufferSize: 1024 }), onFrame)
  },
  registerRpc(method, answer) {
    room.registerRpcMethod(method, async ({ payload }) => answer(payload))
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
  disconnect: () => Promise.all([room, ...idle].map((each) => each.disconnect())),
})
