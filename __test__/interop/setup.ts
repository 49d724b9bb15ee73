/** Builds the server before the first file asks for it. */
export { buildServer as setup } from '../helpers/livekit-server'
