// What a browser's page runs: livekit-client sends each data stream of the topic `echo` back on the topic `echoed`. The
// attribute `sha256` of what it sends back says what it has received; `how` of a byte stream, how it is sent back: `stream`
// (piece by piece) or `bytes` (at once).

/* global Blob, crypto, LivekitClient, TextEncoder, Worker */

LivekitClient.setLogLevel('silent')

async function sha256(content) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', content))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

async function attributesOf(content, info) {
  return { ...info.attributes, sha256: await sha256(content), size: String(info.size) }
}

globalThis.join = async ({ url, token, passphrase }) => {
  const keyProvider = new LivekitClient.ExternalE2EEKeyProvider()
  const worker =
    passphrase === null ? undefined : new Worker('/livekit-client.e2ee.worker.mjs', { type: 'module' })
  const room = new LivekitClient.Room({
    ...(worker !== undefined && { encryption: { keyProvider, worker } }),
  })
  room.registerByteStreamHandler('echo', async (reader) => {
    const content = new Uint8Array(await new Blob(await reader.readAll()).arrayBuffer())
    const { name } = reader.info
    const attributes = await attributesOf(content, reader.info)
    if (attributes.how === 'bytes') {
      await room.localParticipant.sendBytes(content, { topic: 'echoed', name, attributes })
      return
    }
    const totalSize = content.length
    const writer = await room.localParticipant.streamBytes({ topic: 'echoed', name, attributes, totalSize })
    for (let start = 0; start < totalSize; start += 100_000) {
      await writer.write(content.subarray(start, start + 100_000))
    }
    await writer.close()
  })
  room.registerTextStreamHandler('echo', async (reader) => {
    const text = await reader.readAll()
    const attributes = await attributesOf(new TextEncoder().encode(text), reader.info)
    await room.localParticipant.sendText(text, { topic: 'echoed', attributes })
  })
  if (worker !== undefined) {
    await keyProvider.setKey(passphrase)
    await room.setE2EEEnabled(true)
  }
  await room.connect(url, token)
  globalThis.leave = async () => {
    await room.disconnect()
    worker?.terminate()
  }
}
