/** Plain HTTP requests. `fetch` supports neither agents nor certificate authorities. */
import type { Agent, IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { proxyAgent } from './proxy'

/** Options of {@link httpRequest}. */
export interface HttpRequestOptions {
  readonly method?: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** The agent for the connection, instead of the environment's proxy. */
  readonly agent?: Agent | undefined
  /** Certificate authorities in PEM, instead of the system's. */
  readonly ca?: string | Buffer | readonly (string | Buffer)[] | undefined
  /** Whether the environment's proxy is used. Default: `true`. */
  readonly proxy?: boolean
  readonly signal: AbortSignal
  /** The most characters of an answer. A longer answer is an error. */
  readonly maxLength: number
}

/** An answer, whatever its status. */
export interface HttpAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

/**
 * Sends a request and reads the answer. Redirects are not followed, so that credentials go to no other server.
 *
 * @throws Node's network error; `ProxyError`; the signal's `reason`
 */
export async function httpRequest(url: URL, options: HttpRequestOptions): Promise<HttpAnswer> {
  const { method = 'GET', headers, body, ca, proxy = true, signal, maxLength } = options
  const agent = options.agent ?? (proxy ? proxyAgent(url, signal) : undefined)
  const { request } = url.protocol === 'https:' ? await import('node:https') : await import('node:http')
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request(
        url,
        { method, headers: headers ?? {}, agent, signal, ...(ca !== undefined && { ca: ca as string }) },
        resolve,
      )
        .once('error', reject)
        .end(body)
    })
    let text = ''
    response.setEncoding('utf8')
    for await (const chunk of response) {
      text += String(chunk)
      if (text.length > maxLength) throw new Error('the answer is too long')
    }
    return { status: response.statusCode ?? 0, headers: response.headers, text }
  } catch (error) {
    // Node's own AbortError hides the reason.
    signal.throwIfAborted()
    throw error
  }
}
