import { installPython } from '../helpers/python'
import { PythonPeer } from './peers/python'
import { describePeer } from './scenarios'

describePeer("LiveKit's Python SDK", async () => {
  installPython()
  return new PythonPeer()
})
