import { defineConfig } from 'vitest/config'

/** `npm run test:e2e`: tests through a real LiveKit server on 127.0.0.1. The server is built once, with Go. */
export default defineConfig({
  test: {
    include: ['__test__/e2e/**/*.test.ts'],
    globalSetup: ['__test__/e2e/setup.ts'],
    // Checks in each file that no log record and no error contains a secret.
    setupFiles: ['__test__/e2e/no-secrets.ts'],
    pool: 'forks',
    // Each file starts a server. Two servers at the same time would slow each other down.
    fileParallelism: false,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    allowOnly: false,
  },
})
