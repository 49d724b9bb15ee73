'use strict'
// One frame from alice to bob through the in-process loopback. The process must then end by itself.
module.exports = async function smoke({ Loopback }, how) {
  const sfu = new Loopback()
  const alice = sfu.join('alice')
  const bob = sfu.join('bob')
  const track = await alice.localParticipant.publishDataTrack({ name: 'smoke' })
  const text = await firstFrame(bob, track)
  if (text !== 'hello') throw new Error(`expected hello, got ${text}`)
  sfu.close()
  console.log(`smoke ok ${how}`)
}

async function firstFrame(bob, track) {
  for await (const remote of bob.dataTracks({ name: 'smoke' })) {
    const stream = remote.subscribe()
    // A late subscriber misses earlier frames, so frames are sent until one arrives.
    const repeat = setInterval(() => track.tryPush({ payload: new TextEncoder().encode('hello') }), 5)
    try {
      for await (const frame of stream) return new TextDecoder().decode(frame.payload)
    } finally {
      clearInterval(repeat)
    }
  }
  throw new Error('bob saw no track')
}
