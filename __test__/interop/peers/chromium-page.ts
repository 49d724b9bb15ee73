/** A page in headless Chromium, with what it loads from 127.0.0.1. */
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { chromium } from 'playwright-core'
import type { Browser, Page } from 'playwright-core'

/** No traffic but that of the page: the browser talks to 127.0.0.1 only. */
const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Sound is made without a click.
  '--autoplay-policy=no-user-gesture-required',
  // Candidates with addresses instead of mDNS names, which need a resolver.
  '--disable-features=WebRtcHideLocalIpsWithMdns',
]

export class ChromiumPage {
  readonly page: Page
  readonly #server: Server
  readonly #browser: Browser

  private constructor(page: Page, server: Server, browser: Browser) {
    this.page = page
    this.#server = server
    this.#browser = browser
  }

  /**
   * Starts the browser (`CHROMIUM_BIN`, or Debian's), with livekit-client and a module of the page's own. `serve`: the text of
   * a script, by its path. `ready`: the global that shows that the module ran.
   */
  static async open(
    module: string,
    ready: string,
    serve: (path: string) => string | undefined,
  ): Promise<ChromiumPage> {
    const html = `<!doctype html><title>peer</title><link rel="icon" href="data:,">
<script src="/livekit-client.umd.js"></script><script type="module" src="${module}"></script>`
    const server = createServer(({ url = '/' }, response) => {
      const body = url === '/' ? html : serve(url)
      response.writeHead(body === undefined ? 404 : 200, {
        'content-type': url === '/' ? 'text/html' : 'text/javascript',
      })
      response.end(body)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const executablePath = process.env['CHROMIUM_BIN'] ?? '/usr/bin/chromium'
    const browser = await chromium.launch({ executablePath, args: ARGUMENTS })
    const page = await browser.newPage()
    page.on('pageerror', (error) => console.error(`In the page: ${error.stack ?? error.message}`))
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    await page.waitForFunction(`globalThis.${ready} !== undefined`)
    return new ChromiumPage(page, server, browser)
  }

  /** Runs a command of `globalThis.peer`. */
  call(command: string, argument: unknown): Promise<any> {
    return this.page.evaluate(
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

type Commands = Readonly<Record<string, (argument: unknown) => Promise<unknown>>>
