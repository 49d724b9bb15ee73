import { LivekitServer } from './server.mjs'
import { writeFileSync } from 'node:fs'
const s = await LivekitServer.start()
const t = s.token('x','y'); 
writeFileSync('/tmp/rpc/url', s.url)
console.log(s.url)
setInterval(()=>{},1e6)
