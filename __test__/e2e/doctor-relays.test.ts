/** `datatrack doctor` with a server that names relays. */
import { expect, it } from 'vitest'
import { makeCertificates } from '../helpers/certificates'
import { runCli } from '../helpers/cli'
import { ConnectProxy } from '../helpers/connect-proxy'
import { Coturn } from '../helpers/coturn'
import { LivekitServer } from '../helpers/livekit-server'

it('the doctor tries the relays that the server names', async () => {
  const coturn = await Coturn.start(makeCertificates())
  const turnServers = [coturn.server('udp'), coturn.server('tls')]
  const server = await LivekitServer.start({ turnServers })
  const { apiKey, apiSecret } = server.key
  try {
    const env = { LIVEKIT_URL: server.url, LIVEKIT_API_KEY: apiKey, LIVEKIT_API_SECRET: apiSecret }
    const { code, stdout } = await runCli(['doctor'], env)
    expect(stdout).toMatch(/^ok {6}TURN\/UDP +connected after \d+ ms$/m)
    // Nothing makes this machine trust the authority.
    expect(stdout).toMatch(/^warning TURN\/TLS +.*certificate is not trusted.*; UDP works$/m)
    expect(stdout).toContain('turn.domain')
    expect(stdout).not.toContain(coturn.server('udp').credential)
    expect(code).toBe(3)
  } finally {
    await Promise.all([coturn.stop(), server.stop()])
  }
})

it('the doctor says which paths go through the proxy', async () => {
  const coturn = await Coturn.start(makeCertificates())
  const server = await LivekitServer.start({ turnServers: [coturn.server('udp'), coturn.server('tcp')] })
  const proxy = await ConnectProxy.start()
  const { apiKey, apiSecret } = server.key
  try {
    const env = {
      LIVEKIT_URL: server.url,
      LIVEKIT_API_KEY: apiKey,
      LIVEKIT_API_SECRET: apiSecret,
      HTTPS_PROXY: proxy.url,
    }
    const { code, stdout } = await runCli(['doctor'], env)
    for (const path of ['UDP', 'TURN/UDP']) {
      expect(stdout).toMatch(new RegExp(`^ok {6}${path} +connected after \\d+ ms$`, 'm'))
    }
    for (const path of ['TCP', 'TURN/TLS']) {
      const line = new RegExp(`^ok {6}${path} +connected after \\d+ ms, through the HTTP proxy$`, 'm')
      expect(stdout).toMatch(line)
    }
    expect(code).toBe(0)
  } finally {
    await Promise.all([coturn.stop(), server.stop(), proxy.close()])
  }
})
