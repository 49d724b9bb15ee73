/** livekit-client in headless Chromium as a peer. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import type { Browser, Page } from 'playwright-core'
import ts from 'typescript'
import { RemotePeer } from './peer'

/** No traffic but that of the page: the browser talks to 127.0.0.1 only. */
export const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Candidates with addresses instead of mDNS names, which need a resolver.
  '--disable-features=WebRtcHideLocalIpsWithMdns',
]

const HTML = `<!doctype html><title>peer</title><link rel="icon" href="data:,">
<script src="/livekit-client.umd.js"></script><script type="module" src="/page"></script>`

export class ChromiumPeer extends RemotePeer {
  readonly kind = 'chromium'
  readonly #server: Server
  readonly #browser: Browser
  readonly #page: Page

  private constructor(server: Server, browser: Browser, page: Page) {
    super()
    this.#server = server
    this.#browser = browser
    this.#page = page
  }

  /** Starts the browser: `CHROMIUM_BIN`, or Debian's. */
  static async start(): Promise<ChromiumPeer> {
    const server = createServer((request, response) => {
      const body = serve(request.url ?? '/')
      response.writeHead(body === undefined ? 404 : 200, {
        'content-type': request.url === '/' ? 'text/html' : 'text/javascript',
      })
      response.end(body)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const browser = await chromium.launch({
      executablePath: process.env['CHROMIUM_BIN'] ?? '/usr/bin/chromium',
      args: ARGUMENTS,
    })
    const page = await browser.newPage()
    page.on('pageerror', (error) => console.error(`In the page: ${error.stack ?? error.message}`))
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    await page.waitForFunction('globalThis.peer !== undefined')
    return new ChromiumPeer(server, browser, page)
  }

  protected call(command: string, argument: unknown): Promise<any> {
    return this.#page.evaluate(
      ([name, value]) => (globalThis as unknown as { peer: Commands }).peer[name]!(value),
      [command, argument] as const,
    )
  }

  /** Ends the browser. */
  async close(): Promise<void> {
    await this.#browser.close()
    this.#server.close()
  }
}

type Commands = Record<string, (argument: unknown) => Promise<unknown>>

/** The page, its programs, and livekit-client's files. */
function serve(path: string): string | undefined {
  if (path === '/') return HTML
  if (path === '/page' || path === '/pattern') {
    const source = readFileSync(join('__test__/interop/peers', `${path}.ts`), 'utf8')
    const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 }
    return ts.transpileModule(source, { compilerOptions }).outputText
  }
  if (path === '/livekit-client.umd.js' || path === '/livekit-client.e2ee.worker.mjs') {
    return readFileSync(join('node_modules/livekit-client/dist', path), 'utf8')
  }
  return undefined
}
