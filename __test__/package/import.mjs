import * as api from 'node-datatrack'
import smoke from './smoke.cjs'

await smoke(api, 'import')
