// The voice agent as agents-js runs it: a worker registers at the server of LIVEKIT_URL, and starts a process for each job
// that the server dispatches. It writes a line to its standard output when it is registered. It ends when its standard
// input ends.
import { AgentServer, initializeLogger, ServerOptions } from '@livekit/agents'
import { fileURLToPath } from 'node:url'

initializeLogger({ pretty: false, level: process.env.LOG_LEVEL ?? 'warn' })
const worker = new AgentServer(
  new ServerOptions({
    agent: fileURLToPath(new URL('voice-agent.mjs', import.meta.url)),
    wsURL: process.env.LIVEKIT_URL,
    host: '127.0.0.1',
    // By default that is the load of the whole machine. The server passes a worker over whose load is 1.
    loadFunc: () => Promise.resolve(0),
    // One process waits for a job, so that the caller does not wait for it to start. On a busy machine that takes long.
    numIdleProcesses: 1,
    initializeProcessTimeout: 60_000,
  }),
)
worker.event.once('worker_registered', () => console.log('registered'))
const running = worker.run()
await new Promise((ended) => process.stdin.resume().once('end', ended))
await worker.drain()
await worker.close()
await running
