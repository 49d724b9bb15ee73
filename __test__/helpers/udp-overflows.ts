/**
 * Datagrams that the kernel dropped because the receive buffer of a UDP socket was full: its process did not read in
 * time. Linux counts them for each socket.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'

const TABLES = ['/proc/net/udp', '/proc/net/udp6']

/** Drops of all sockets at a port so far. On other systems than Linux 0. */
export function overflowsAtPort(port: number): number {
  const end = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return overflows(({ local }) => local.endsWith(end))
}

/** Drops of all sockets of this process so far. On other systems than Linux 0. */
export function ownOverflows(): number {
  const inodes = new Set(ownSockets())
  return overflows(({ inode }) => inodes.has(inode))
}

/** Drops of all sockets of this machine so far, or of this network namespace. On other systems than Linux 0. */
export function allOverflows(): number {
  const [snmp, snmp6] = ['/proc/net/snmp', '/proc/net/snmp6'].map((table) =>
    existsSync(table) ? readFileSync(table, 'utf8') : '',
  )
  const counts = [/^Udp: (?:\d+ ){4}(\d+)/m.exec(snmp ?? ''), /^Udp6RcvbufErrors\s+(\d+)/m.exec(snmp6 ?? '')]
  return counts.reduce((sum, found) => sum + Number(found?.[1] ?? 0), 0)
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
