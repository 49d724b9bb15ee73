import { defineConfig } from 'vitest/config'

/** `npm run test:electron`: in place of Electron, a Node that refuses external buffers (linux-x64-gnu, a LiveKit server). */
export default defineConfig({
  test: {
    include: ['__test__/package/electron.test.ts'],
    pool: 'forks',
    maxConcurrency: 2,
    testTimeout: 60_000,
    hookTimeout: 600_000,
    allowOnly: false,
  },
})
