// The voice agent in a room that the program connects by itself. The arguments are the server's URL and a token. It ends when
// its standard input ends.
import { initializeLogger } from '@livekit/agents'
import { dispose, Room } from '@livekit/rtc-node'
import { converse } from './voice-agent.mjs'

const [url, token] = process.argv.slice(2)
initializeLogger({ pretty: false, level: process.env.LOG_LEVEL ?? 'warn' })
const room = new Room()
await room.connect(url, token, { autoSubscribe: true, dynacast: false })
const session = await converse(room)
await new Promise((ended) => process.stdin.resume().once('end', ended))
await session.close()
await room.disconnect()
await dispose()
