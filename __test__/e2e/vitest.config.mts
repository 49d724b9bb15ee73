import { defineConfig } from 'vitest/config'

/** `npm run test:e2e`: through a real LiveKit server, which is built once (Go), and on 127.0.0.1 only. */
export default defineConfig({
  test: {
    include: ['__test__/e2e/**/*.test.ts'],
    globalSetup: ['__test__/e2e/setup.ts'],
    // Whatever is logged or thrown in any of them has no secret in it.
    setupFiles: ['__test__/e2e/no-secrets.ts'],
    pool: 'forks',
    // A server, and the SFU's work, per file: two of them at once would slow each other.
    fileParallelism: false,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    allowOnly: false,
  },
})
