/** The checks that join no room: binary, address, HTTP and token. */
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { loadBinding } from '../native/loader'
import { bareHost, serverUrl } from '../connection/address'
import { httpRequest } from '../connection/http-request'
import type { HttpAnswer } from '../connection/http-request'
import { ProxyError } from '../connection/proxy'
import { claimProblems, decodeClaims, span } from '../connection/claims'
import type { Finding } from './finding'
import { codeOf, httpUrl } from './http'

/** Checks whether the native addon loads. */
export function checkBinary(): Finding {
  const check = 'binary'
  try {
    const version = loadBinding().version()
    return {
      check,
      status: 'ok',
      what: `version ${version}, ${process.platform} ${process.arch}, Node.js ${process.versions.node}`,
    }
  } catch (error) {
    const [what = '', help] = (error instanceof Error ? error.message : String(error)).split('\n')
    return { check, status: 'failed', what, help }
  }
}

/**
 * Checks whether the host of the URL has an address. It warns about a URL with a path, and about signalling without
 * encryption to another machine.
 */
export async function checkAddress(url: string): Promise<Finding> {
  const check = 'address'
  const server = serverUrl(url)
  const { pathname, host, protocol } = server
  const bare = bareHost(server)
  let addresses: readonly string[] = [bare]
  if (isIP(bare) === 0) {
    try {
      addresses = (await lookup(bare, { all: true })).map(({ address }) => address)
    } catch (error) {
      return {
        check,
        status: 'failed',
        what: `the host ${bare} has no address (${codeOf(error)})`,
        help: 'Is the host in the URL spelled right? Does DNS work on this machine?',
      }
    }
  }
  const names = isIP(bare) === 0 ? `${host} is ${addresses.join(', ')}` : host
  if (pathname !== '/') {
    return {
      check,
      status: 'warning',
      what: `${names}; the URL has a path`,
      help: 'Unless a proxy needs it, the URL is that of the server alone: wss://host.',
    }
  }
  const remote = !addresses.every((address) => /^(127\.|::1$)/.test(address))
  if (protocol === 'ws:' && remote) {
    return {
      check,
      status: 'warning',
      what: `${names}; signalling is not encrypted`,
      help: 'Tokens travel in the clear. Use wss:// outside of networks that you trust.',
    }
  }
  return { check, status: 'ok', what: names }
}

/** The finding of the HTTP check, and the difference between the clocks, which the check of the token needs. */
export interface HttpResult {
  readonly finding: Finding
  /** How far the server's clock is ahead of this machine's, ms. 0 if the server sends no `Date` header. */
  readonly skew: number
}

/** Characters of an HTTP answer at most. */
const MAX_ANSWER = 1 << 20
/** Difference between the clocks above which the check warns, ms. The `Date` header has whole seconds only. */
const SKEW = 5000

/** Checks whether the server answers an HTTP request, and compares its clock with this machine's. */
export async function checkHttp(url: string, ms: number): Promise<HttpResult> {
  const check = 'http'
  const target = httpUrl(url, '/')
  const [started, since] = [Date.now(), performance.now()]
  let response: HttpAnswer
  try {
    response = await httpRequest(target, { signal: AbortSignal.timeout(ms), maxLength: MAX_ANSWER })
  } catch (error) {
    return { finding: { check, status: 'failed', ...httpFailure(error, ms) }, skew: 0 }
  }
  const took = Math.round(performance.now() - since)
  const date = Date.parse(response.headers.date ?? '')
  // The header drops the fraction of the second, which is half a second on average.
  const skew = Number.isNaN(date) ? 0 : date + 500 - (started + took / 2)
  if (response.status !== 200) {
    const tls = response.status === 400 && target.protocol === 'http:'
    return {
      finding: {
        check,
        status: 'failed',
        what: `the server answers with HTTP status ${response.status}, where LiveKit's says 200`,
        help: tls
          ? 'The port may want TLS: try wss:// instead of ws://.'
          : 'Is that the port of LiveKit, and of nothing in front of it or beside it?',
      },
      skew,
    }
  }
  const what = `answers in ${took} ms`
  if (Math.abs(skew) <= SKEW) return { finding: { check, status: 'ok', what }, skew }
  const direction = skew > 0 ? 'ahead of' : 'behind'
  return {
    finding: {
      check,
      status: 'warning',
      what: `${what}; its clock is ${span(Math.abs(skew) / 1000)} ${direction} ours`,
      help: 'Tokens are good for a time by the clock: set the clocks (NTP).',
    },
    skew,
  }
}

/**
 * Checks the claims of a token, and whether the server accepts it. `made`: this program made the token with the user's
 * API key. `skew`: how far the server's clock is ahead, ms.
 */
export async function checkToken(
  url: string,
  token: string,
  made: boolean,
  skew: number,
  ms: number,
): Promise<Finding> {
  const check = 'token'
  const claims = decodeClaims(token)
  const problems = claimProblems(claims, Date.now() + skew)
  const fatal = problems.find((problem) => problem.fatal)
  if (fatal !== undefined) return { check, status: 'failed', what: fatal.what, help: fatal.help }
  let verdict: { readonly status: number; readonly text: string }
  try {
    const { status, text } = await httpRequest(httpUrl(url, '/rtc/validate'), {
      headers: { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(ms),
      maxLength: MAX_ANSWER,
    })
    verdict = { status, text: text.trim().slice(0, 2000) }
  } catch (error) {
    return { check, status: 'failed', ...httpFailure(error, ms) }
  }
  if (verdict.status !== 200) return { check, status: 'failed', ...refusal(verdict, made) }
  const [warning] = problems
  if (warning !== undefined) return { check, status: 'warning', what: warning.what, help: warning.help }
  const left =
    claims?.expires === undefined ? '' : `, good for ${span(claims.expires - (Date.now() + skew) / 1000)}`
  return { check, status: 'ok', what: `accepted${made ? ', made with the key' : left}` }
}

function refusal({ status, text }: { readonly status: number; readonly text: string }, made: boolean): Words {
  const what = `the server refuses it: HTTP status ${status}, ${text}`
  if (status === 404) return { what, help: 'Is that a LiveKit server?' }
  if (/invalid API key/i.test(text)) return { what, help: 'The server does not know that API key.' }
  if (/expired|not valid yet|nbf/i.test(text)) return { what, help: 'Compare the clocks of both machines.' }
  if (status === 401) {
    return {
      what,
      help: made
        ? 'The API secret is not the one that the server has for that key.'
        : 'It was signed with another secret than the one that the server has for its key.',
    }
  }
  return { what, help: 'The token does not allow to join its room, or the server is not well.' }
}

interface Words {
  readonly what: string
  readonly help: string
}

/** Says in plain words why an HTTP request failed. */
function httpFailure(error: unknown, ms: number): Words {
  const code = codeOf(error)
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    return {
      what: `nothing answers within ${ms / 1000} s`,
      help: 'A firewall may be dropping what is sent there, or the address is wrong.',
    }
  }
  if (error instanceof ProxyError) {
    return {
      what: error.message,
      help: 'See HTTPS_PROXY, HTTP_PROXY and ALL_PROXY. NO_PROXY names hosts that need no proxy.',
    }
  }
  const what = `the server cannot be reached (${code})`
  if (code === 'ECONNREFUSED') {
    return { what, help: 'Nothing listens at that port: is the port right, and does the server run?' }
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO|ALTNAME/.test(code)) {
    return {
      what: `the server's certificate is not accepted (${code})`,
      help: 'For a private authority, name its certificate in NODE_EXTRA_CA_CERTS.',
    }
  }
  if (/SSL|EPROTO|HPE_/.test(code)) {
    return { what, help: 'The port may not want TLS, or no HTTP at all: try ws:// instead of wss://.' }
  }
  return { what, help: 'Is there a network, and does a proxy or firewall stand in the way?' }
}
