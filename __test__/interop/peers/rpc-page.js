// What a browser's page runs: livekit-client, of whichever version, answers calls and makes those that it is asked for. `handlers`
// are those of rpc.py.

/* global LivekitClient, Worker */

LivekitClient.setLogLevel('silent')

globalThis.join = async ({ url, token, passphrase }) => {
  const keyProvider = new LivekitClient.ExternalE2EEKeyProvider()
  const worker =
    passphrase === null ? undefined : new Worker('/livekit-client.e2ee.worker.mjs', { type: 'module' })
  const room = new LivekitClient.Room({
    ...(worker !== undefined && { encryption: { keyProvider, worker } }),
  })
  const handlers = {
    echo: async ({ payload }) => payload,
    make: async ({ payload }) => 'x'.repeat(Number(payload)),
    fail: async ({ callerIdentity }) => {
      throw new LivekitClient.RpcError(42, 'b\u00fcsy', callerIdentity)
    },
    break: async () => {
      throw new Error('secret')
    },
    hang: () => new Promise(() => {}),
  }
  for (const [method, handler] of Object.entries(handlers)) room.registerRpcMethod(method, handler)
  if (worker !== undefined) {
    await keyProvider.setKey(passphrase)
    await room.setE2EEEnabled(true)
  }
  await room.connect(url, token)
  globalThis.call = async ({ to, method, payload, timeout }) => {
    try {
      const params = { destinationIdentity: to, method, payload, responseTimeout: timeout * 1000 }
      return { answer: await room.localParticipant.performRpc(params) }
    } catch (error) {
      const { code, message, data = '' } = error
      return { code, message, data }
    }
  }
  globalThis.leave = async () => {
    await room.disconnect()
    worker?.terminate()
  }
}
