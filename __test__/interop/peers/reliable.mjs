// What a participant of LiveKit's JavaScript SDKs does for the reliable side of a room: calls, data streams and data packets.
// `reliable-peer.ts` says what is asked of it, and what it does by itself. The two SDKs differ in little, which `sdk` has.

/* global crypto */

const PIECE = 100_000
// How many join at a time, and how long each waits to be greeted, in ms.
const VISITORS = 8
const PATIENCE = 10_000

/** Joins and returns the commands. `sdk`: `join(handlers)`, `RpcError`, `isReliable(kind)`, `publish(local, content, options)`, `sendBytes`. */
export async function participant(sdk, given) {
  const room = await sdk.room(given)
  const local = () => room.localParticipant
  const methods = {
    echo: async ({ payload }) => payload,
    make: async ({ payload }) => 'x'.repeat(Number(payload)),
    fail: async ({ callerIdentity }) => {
      throw new sdk.RpcError(42, 'b\u00fcsy', callerIdentity)
    },
    break: async () => {
      throw new Error('secret')
    },
    hang: () => new Promise(() => {}),
  }

  async function write(content, topic, name, attributes) {
    const totalSize = content.length
    const writer = await local().streamBytes({ topic, name, attributes, totalSize })
    for (let start = 0; start < totalSize; start += PIECE)
      await writer.write(content.slice(start, start + PIECE))
    await writer.close()
  }

  async function writeText(text, topic, attributes, totalSize) {
    const writer = await local().streamText({ topic, attributes, totalSize })
    // No piece ends within a character: of the text `made`, each fourth unit of UTF-16 begins one.
    for (let start = 0; start < text.length; start += PIECE)
      await writer.write(text.slice(start, start + PIECE))
    await writer.close()
  }

  room.registerByteStreamHandler('echo', async (reader) => {
    const content = joined(await reader.readAll())
    const attributes = await attributesOf(content, reader.info)
    const { name } = reader.info
    if (attributes.how === 'bytes') await local().sendBytes(content, { topic: 'echoed', name, attributes })
    else if (attributes.how === 'file')
      await sdk.sendFile(local(), content, { topic: 'echoed', name, attributes })
    else await write(content, 'echoed', name, attributes)
  })
  room.registerTextStreamHandler('echo', async (reader) => {
    const text = await reader.readAll()
    const attributes = await attributesOf(new TextEncoder().encode(text), reader.info)
    await local().sendText(text, { topic: 'echoed', attributes })
  })
  room.registerByteStreamHandler('digest', async (reader) => {
    const digest = await sha256(joined(await reader.readAll()))
    await local().sendText('', { topic: 'digested', attributes: { sha256: digest } })
  })
  room.registerTextStreamHandler('digest', async (reader) => {
    const digest = await sha256(new TextEncoder().encode(await reader.readAll()))
    await local().sendText('', { topic: 'digested', attributes: { sha256: digest } })
  })
  room.on('dataReceived', async (content, _participant, kind, topic) => {
    if (topic !== 'echo') return
    const reliable = sdk.isReliable(kind)
    const echoed = `echoed ${reliable ? 'reliable' : 'lossy'} ${await sha256(content)}`
    await local().publishData(content, { reliable, topic: echoed })
  })
  // What agents and their clients send each other.
  const heard = []
  room.on('chatMessage', ({ message, editTimestamp }, from) =>
    heard.push({ what: 'chat', text: message, edited: (editTimestamp ?? 0) > 0, from: from?.identity }),
  )
  room.on('sipDTMFReceived', ({ code, digit }, from) =>
    heard.push({ what: 'digit', code, digit, from: from?.identity }),
  )
  room.on('dtmfReceived', (code, digit, from) =>
    heard.push({ what: 'digit', code, digit, from: from?.identity }),
  )
  room.on('transcriptionReceived', (segments, from) =>
    heard.push({ what: 'transcription', text: segments[0].text, from: from?.identity }),
  )
  for (const topic of ['lk.chat', 'lk.transcription']) {
    room.registerTextStreamHandler(topic, async (reader, { identity }) => {
      const text = await reader.readAll()
      heard.push({ what: topic, text, from: identity })
    })
  }
  let lastChat
  await sdk.connect(room, given, (register) => {
    for (const [method, handler] of Object.entries(methods)) register(method, handler)
  })

  async function call({ to, method, payload, timeout }) {
    try {
      const params = { destinationIdentity: to, method, payload, responseTimeout: timeout * 1000 }
      return { answer: await local().performRpc(params) }
    } catch (error) {
      const { code, message, data = '' } = error
      return { code, message, data }
    }
  }

  return {
    call,
    calls: ({ to, payloads, timeout }) =>
      Promise.all(payloads.map((payload) => call({ to, method: 'echo', payload, timeout }))),
    async binary({ size }) {
      const content = random(size)
      const attributes = { sha256: await sha256(content) }
      await write(content, 'made', 'made.bin', attributes)
      return attributes
    },
    async text({ size, piecewise }) {
      const whole = 'ä三😀'.repeat(Math.floor(size / 9))
      const text = whole + '.'.repeat(size % 9)
      const attributes = { sha256: await sha256(new TextEncoder().encode(text)) }
      if (piecewise) await writeText(text, 'made', attributes, size)
      else await local().sendText(text, { topic: 'made', attributes })
      return attributes
    },
    async packet({ size, reliable }) {
      const content = random(size)
      const digest = await sha256(content)
      await local().publishData(content, { reliable, topic: `made ${digest}` })
      return { sha256: digest }
    },
    async behalf({ identity, pieces, topic = 'made', attributes = {} }) {
      const writer = await local().streamText({ topic, senderIdentity: identity, attributes })
      for (const piece of pieces) await writer.write(piece)
      await writer.close()
      return {}
    },
    async visits({ url, tokens }) {
      const waiting = [...tokens]
      const visitors = Array.from({ length: VISITORS }, async () => {
        let greeted = 0
        for (let token = waiting.pop(); token !== undefined; token = waiting.pop()) {
          if (await visit(sdk, { url, token, passphrase: null })) greeted += 1
        }
        return greeted
      })
      const greeted = await Promise.all(visitors)
      return { greeted: greeted.reduce((sum, count) => sum + count, 0) }
    },
    async chat({ text }) {
      lastChat = await local().sendChatMessage(text)
      return {}
    },
    async edit({ text }) {
      await local().editChatMessage(text, lastChat)
      return {}
    },
    async digit({ code, digit }) {
      await local().publishDtmf(code, digit)
      return {}
    },
    async transcribe({ identity, text }) {
      const segment = { id: 'S1', text, startTime: 1n, endTime: 2n, language: 'en', final: true }
      await local().publishTranscription({
        participantIdentity: identity,
        trackSid: 'TR_1',
        segments: [segment],
      })
      return {}
    },
    heard: () => heard.splice(0),
    leave: () => sdk.leave(room),
  }
}

// Joins, waits until a participant greets it, and leaves. Returns whether it was greeted.
async function visit(sdk, given) {
  const room = await sdk.room(given)
  const greeted = new Promise((resolve) => {
    room.on('dataReceived', (_content, _participant, _kind, topic) => {
      if (topic === 'greeting') resolve(true)
    })
    setTimeout(() => resolve(false), PATIENCE)
  })
  await sdk.connect(room, given, () => {})
  const result = await greeted
  await room.disconnect()
  return result
}

async function attributesOf(content, info) {
  return { ...info.attributes, sha256: await sha256(content), size: String(info.size ?? info.totalSize) }
}

async function sha256(content) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', content))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function joined(pieces) {
  const content = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    content.set(piece, at)
    at += piece.length
  }
  return content
}

function random(size) {
  const content = new Uint8Array(size)
  // No more at a time.
  for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(content.subarray(at, at + 65_536))
  return content
}
