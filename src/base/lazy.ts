/**
 * Packages that are loaded on first use. The build makes a file of each, and puts the names of these files in place of
 * the packages' names (`scripts/lib/bundle.mjs`).
 */
import type * as protobuf from '@bufbuild/protobuf'
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

/** What the protocol messages are encoded with. */
export function loadProtobuf(): Pick<typeof protobuf, 'BinaryWriter'> {
  return require('@bufbuild/protobuf') as typeof protobuf
}

/** The WebSocket client. */
export function loadWebSocket(): Pick<typeof ws, 'WebSocket'> {
  return require('ws') as typeof ws
}

/** What Node.js knows of certificate authorities; `getCACertificates` is new in Node.js 22.15. */
export function loadTls(): {
  readonly rootCertificates: readonly string[]
  readonly getCACertificates?: (type: 'default') => string[]
} {
  return require('node:tls') as { readonly rootCertificates: readonly string[] }
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
