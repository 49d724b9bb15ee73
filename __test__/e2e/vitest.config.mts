import { defineConfig } from 'vitest/config'

const file = (name: string): string => `__test__/e2e/${name}.test.ts`

/**
 * Files that measure what a busy machine changes: losses, memory, counters, the order of the last messages. Each of
 * them runs alone, after the others.
 */
const alone = ['bursts', 'last-words', 'leaks', 'sections', 'stats'].map(file)

/** Needs a Redis beside the servers. */
const cluster = [file('cluster')]

/** They need a coturn beside the server. */
const turn = ['turn', 'turn-hostile', 'turn-traffic', 'doctor-relays', 'proxy-data'].map(file)

const shared = {
  // Checks in each file that no log record and no error contains a secret.
  setupFiles: '__test__/e2e/no-secrets.ts',
  pool: 'forks',
  testTimeout: 30_000,
  hookTimeout: 30_000,
  // How long a condition may take is the machine's affair. After this time, the failure says what was there instead.
  expect: { poll: { timeout: 20_000 } },
  allowOnly: false,
} as const

/** `npm run test:e2e`: tests through a real LiveKit server on 127.0.0.1. The server is built once, with Go. */
export default defineConfig({
  test: {
    globalSetup: ['__test__/e2e/setup.ts'],
    projects: [
      {
        test: {
          ...shared,
          name: 'e2e',
          include: [file('*')],
          exclude: [...alone, ...cluster, ...turn],
          // Each file starts a server. Most tests wait for it most of the time.
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
        },
      },
      { test: { ...shared, name: 'cluster', include: cluster, sequence: { groupOrder: 1 } } },
      { test: { ...shared, name: 'turn', include: turn, sequence: { groupOrder: 3 } } },
      {
        test: {
          ...shared,
          name: 'alone',
          include: alone,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
