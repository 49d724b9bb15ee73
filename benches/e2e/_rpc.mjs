// node _rpc.mjs server|caller|answer|both
import { createRequire } from 'node:module'
import { AccessToken } from 'livekit-server-sdk'
const { Room } = createRequire(import.meta.url)('../../dist/index.js')
const [,, role, url, secret, n='300', method='echo'] = process.argv
const tok = async (identity) => { const t = new AccessToken('devkey', secret, { identity, ttl: '6h' }); t.addGrant({ roomJoin: true, room: 'r', canPublish: true, canPublishData: true, canSubscribe: true }); return t.toJwt() }
async function answer() {
  const room = new Room(); await room.connect(url, await tok('b'))
  room.registerRpcMethod('echo', ({payload}) => payload)
  return room
}
async function call() {
  const room = new Room(); await room.connect(url, await tok('a'))
  await new Promise(r => setTimeout(r, 4000))
  console.log('knows b', room.remoteParticipants?.has?.('b'))
  for (let i=0;i<50;i++) await room.localParticipant.performRpc({destinationIdentity:'b', method, payload:'x'.repeat(100)})
  for (const gap of [0, 20]) {
  const t=[]
  for (let i=0;i<+n;i++) { const s=performance.now(); await room.localParticipant.performRpc({destinationIdentity:'b', method, payload:'x'.repeat(100)}); t.push(performance.now()-s); if (gap) await new Promise(r=>setTimeout(r,gap)) }
  t.sort((a,b)=>a-b)
  console.log('gap',gap,'p50', t[t.length>>1].toFixed(2), 'p10', t[t.length*.1|0].toFixed(2), 'p99', t[t.length*.99|0].toFixed(2))
  }
  return room
}
if (role==='both') { const a=await answer(); const b=await call(); await a.disconnect(); await b.disconnect() }
if (role==='answer') { await answer(); console.log('ready'); process.stdin.resume(); process.stdin.on('end',()=>process.exit()) }
if (role==='caller') { const r=await call(); await r.disconnect() }
