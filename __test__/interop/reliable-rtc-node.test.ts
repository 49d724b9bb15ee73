import { sdks } from './peers/reliable-peer'
import { describeReliable } from './reliable-scenarios'

describeReliable(sdks.rtcNode)
