/** What a server says of itself when a participant joins. */
import { isObject } from '../base/arguments'

/** Numbers of `livekit.ServerInfo.Edition`, from 0 on. */
const editions = ['standard', 'cloud'] as const

/** The server that a room is connected to. A property that the server does not report is empty, or 0. */
export interface ServerInfo {
  /** `standard`: livekit-server; `cloud`: LiveKit Cloud. `other:` precedes a number that this version does not know. */
  readonly edition: (typeof editions)[number] | `other:${number}`
  readonly version: string
  /** The version of the signalling protocol. */
  readonly protocol: number
  readonly region: string
  /** The id of the cluster's node. */
  readonly nodeId: string
  /** What a server in development mode says for debugging. */
  readonly debugInfo: string
  /** The version of the protocol of agents. */
  readonly agentProtocol: number
}

/** The server's description of itself in a join message. Older servers give version and region in separate fields. */
export function serverInfoIn(join: Readonly<Record<string, unknown>>): ServerInfo {
  const info = isObject(join['serverInfo']) ? join['serverInfo'] : {}
  const edition = numberIn(info['edition'])
  return {
    edition: editions[edition] ?? `other:${edition}`,
    version: textIn(info['version']) || textIn(join['serverVersion']),
    protocol: numberIn(info['protocol']),
    region: textIn(info['region']) || textIn(join['serverRegion']),
    nodeId: textIn(info['nodeId']),
    debugInfo: textIn(info['debugInfo']),
    agentProtocol: numberIn(info['agentProtocol']),
  }
}

function textIn(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function numberIn(value: unknown): number {
  return typeof value === 'number' && Number.isInteger(value) ? value : 0
}
