/* eslint-disable @typescript-eslint/no-unnecessary-type-parameters -- programs for rtc-node give its one */
/** The test for frame processors, with the type parameter of `@livekit/rtc-node`. */
import { FrameProcessor, isFrameProcessor as isProcessor } from '../media/frame-processor'
import type { VideoFrame } from './unsupported'

export { FrameProcessor }
export type { FrameProcessorCredentials, FrameProcessorStreamInfo } from '../media/frame-processor'

/** Whether a value is a frame processor: of this package's class, or of rtc-node's. */

export function isFrameProcessor<
  Processor extends FrameProcessor | FrameProcessor<VideoFrame> = FrameProcessor,
>(value: unknown): value is Processor {
  return isProcessor(value)
}
