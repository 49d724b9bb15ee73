/** Datagrams that a UDP socket had no room for, because its process did not get to read them: Linux counts that for each. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'

const TABLES = ['/proc/net/udp', '/proc/net/udp6']

/** Of all sockets at a port, so far. Elsewhere than on Linux 0. */
export function overflowsAtPort(port: number): number {
  const end = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return overflows(({ local }) => local.endsWith(end))
}

/** Of all sockets that this process has open, so far. Elsewhere than on Linux 0. */
export function ownOverflows(): number {
  const inodes = new Set(ownSockets())
  return overflows(({ inode }) => inodes.has(inode))
}

interface Row {
  /** Address and port, in hexadecimal digits. */
  readonly local: string
  readonly inode: string
}

function overflows(ofInterest: (row: Row) => boolean): number {
  return TABLES.filter((table) => existsSync(table))
    .flatMap((table) => readFileSync(table, 'utf8').split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , , , , , , , inode]) => ofInterest({ local: local ?? '', inode: inode ?? '' }))
    .reduce((sum, columns) => sum + Number(columns.at(-1)), 0)
}

function ownSockets(): string[] {
  if (!existsSync('/proc/self/fd')) return []
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1] ?? []
    } catch {
      return [] // The one that read the folder is closed again.
    }
  })
}
