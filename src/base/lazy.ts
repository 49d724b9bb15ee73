/** Packages that are loaded on first use. A program that only uses the loopback never loads them. */
import type * as protocol from '@livekit/protocol'
import type * as commander from 'commander'
import type * as hpagent from 'hpagent'
import type * as serverSdk from 'livekit-server-sdk'
import type * as ws from 'ws'

/** Kept, because `require` of a package that is loaded already takes some 20 µs, and each message needs it. */
let protocolPackage: typeof protocol | undefined

/** LiveKit's protocol messages. */
export function loadProtocol(): typeof protocol {
  return (protocolPackage ??= require('@livekit/protocol') as typeof protocol)
}

/** The WebSocket client. */
export function loadWebSocket(): typeof ws {
  return require('ws') as typeof ws
}

/** The package that creates access tokens. */
export function loadServerSdk(): typeof serverSdk {
  return require('livekit-server-sdk') as typeof serverSdk
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
