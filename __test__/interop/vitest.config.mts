import { defineConfig } from 'vitest/config'

/** `npm run test:interop`: other SDKs and ours through a real LiveKit server. Needs Go, Python, PyPI and npm once, and Chromium. */
export default defineConfig({
  test: {
    include: ['__test__/interop/**/*.test.ts'],
    globalSetup: ['__test__/interop/setup.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 30_000,
    hookTimeout: 300_000,
    allowOnly: false,
  },
})
