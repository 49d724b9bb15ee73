/**
 * Packages that are loaded on first use. The build makes a file of each, and puts the names of these files in place of
 * the packages' names (`scripts/lib/bundle.mjs`).
 */
import type * as commander from 'commander'
import type * as hpagent from 'hpagent'
import type * as ws from 'ws'
import type * as protocol from './protocol'

/** Kept, because `require` of a package that is loaded already takes some 20 µs, and each message needs it. */
let protocolPackage: typeof protocol | undefined

/** LiveKit's protocol messages. */
export function loadProtocol(): typeof protocol {
  return (protocolPackage ??= require('@livekit/protocol') as typeof protocol)
}

/** The WebSocket client. */
export function loadWebSocket(): Pick<typeof ws, 'WebSocket'> {
  return require('ws') as typeof ws
}

/** The command-line parser. */
export function loadCommander(): typeof commander {
  return require('commander') as typeof commander
}

/** The HTTP agents that connect through a proxy. */
export function loadProxyAgents(): typeof hpagent {
  return require('hpagent') as typeof hpagent
}

/** The package that reads the proxy settings from the environment. It has no type declarations. */
export function loadProxyFromEnv(): { readonly getProxyForUrl: (url: URL) => string } {
  return require('proxy-from-env') as { readonly getProxyForUrl: (url: URL) => string }
}
