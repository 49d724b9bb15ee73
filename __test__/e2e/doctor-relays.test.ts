/** `datatrack doctor` with a server that names relays. */
import { expect, it } from 'vitest'
import { makeCertificates } from '../helpers/certificates'
import { runCli } from '../helpers/cli'
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
