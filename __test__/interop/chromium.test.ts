import { ChromiumPeer } from './peers/chromium'
import { describePeer } from './scenarios'

describePeer('livekit-client in Chromium', () => ChromiumPeer.start())
