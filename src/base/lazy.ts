/** What is loaded on first use: a program that stays on the loopback never pays for it. */
import type * as protocol from '@livekit/protocol'
import type * as commander from 'commander'
import type * as hpagent from 'hpagent'
import type * as serverSdk from 'livekit-server-sdk'
import type * as ws from 'ws'

/** LiveKit's messages. */
export function loadProtocol(): typeof protocol {
  return require('@livekit/protocol') as typeof protocol
}

/** The WebSocket client. */
export function loadWebSocket(): typeof ws {
  return require('ws') as typeof ws
}

/** What makes access tokens. */
export function loadServerSdk(): typeof serverSdk {
  return require('livekit-server-sdk') as typeof serverSdk
}

/** What reads the command line. */
export function loadCommander(): typeof commander {
  return require('commander') as typeof commander
}

/** Agents that connect through an HTTP proxy. */
export function loadProxyAgents(): typeof hpagent {
  return require('hpagent') as typeof hpagent
}

/** What reads which proxy the environment names. The package has no declarations. */
export function loadProxyFromEnv(): { readonly getProxyForUrl: (url: URL) => string } {
  return require('proxy-from-env') as { readonly getProxyForUrl: (url: URL) => string }
}
