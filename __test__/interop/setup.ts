/** Builds the server and installs the other SDK before the first file asks for them. */
import { buildServer } from '../helpers/livekit-server'
import { installPython } from '../helpers/python'

export async function setup(): Promise<void> {
  await buildServer()
  installPython()
}
