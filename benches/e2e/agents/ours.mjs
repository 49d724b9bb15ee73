// A participant of node-datatrack.
import { createRequire } from 'node:module'
import { serveAdapter } from './stdio.mjs'

const { Room } = createRequire(import.meta.url)('../../../dist/index.js')

const room = new Room()
const idle = []

const needed = (object, name) => {
  if (typeof object[name] !== 'function') throw new Error(`node-datatrack has no ${name} yet`)
  return object[name].bind(object)
}

serveAdapter({
  connect: (url, token, options) => room.connect(url, token, options),
  async room(url, token) {
    const another = new Room()
    idle.push(another)
    await another.connect(url, token)
  },
  async publish(name) {
    const track = await room.localParticipant.publishDataTrack({ name })
    return (payload) => track.tryPush({ payload })
  },
  async subscribe(name, onFrame) {
    for await (const track of room.dataTracks({ name })) {
      void read(track.subscribe(), onFrame)
      return
    }
  },
  registerRpc(method, answer) {
    const owner = typeof room.registerRpcMethod === 'function' ? room : room.localParticipant
    needed(owner, 'registerRpcMethod')(method, async ({ payload }) => answer(payload))
  },
  call: (destinationIdentity, method, payload) =>
    needed(
      room.localParticipant,
      'performRpc',
    )({ destinationIdentity, method, payload, responseTimeout: 15_000 }),
  openStream: (topic, identity, totalSize) =>
    needed(
      room.localParticipant,
      'streamBytes',
    )({
      name: 'bench',
      topic,
      totalSize,
      destinationIdentities: [identity],
    }),
  onStream(topic, onChunk, onEnd) {
    needed(room, 'registerByteStreamHandler')(topic, async (reader) => {
      for await (const chunk of reader) onChunk(chunk)
      onEnd()
    })
  },
  disconnect: () => Promise.all([room, ...idle].map((each) => each.disconnect())),
})

async function read(stream, onFrame) {
  for await (const frame of stream) onFrame(frame.payload)
}
