// Where `npm run platforms` keeps what it fetches and builds.
import { join } from 'node:path'
import { fromRoot } from '../steps.mjs'

const folder = fromRoot('.cache/platforms')

/** A path in that folder. */
export const cache = (...parts) => join(folder, ...parts)
