/** What an audio stream counts. */

/** What an audio stream has counted. Samples are counted for each channel. */
export interface AudioStreamStats {
  /** Packets that arrived, or that later packets repeated: the sum of the next eight. */
  readonly packetsReceived: number
  /** Packets that were decoded. */
  readonly packetsDecoded: number
  /** Packets that came after their place was filled. */
  readonly packetsLate: number
  /** Packets that came twice. */
  readonly packetsDuplicate: number
  /** Packets that the codec did not understand. */
  readonly packetsInvalid: number
  /** Packets that were more than a second ahead of the clock, because the publisher sends too many. */
  readonly packetsSurplus: number
  /** Packets that waited for a missing one when the track's packets started anew. */
  readonly packetsDiscarded: number
  /** Packets of an encrypted track that could not be decrypted, or that were not encrypted. They are not played. */
  readonly packetsUndecryptable: number
  /** Packets that wait for a missing one now. */
  readonly packetsHeld: number
  /** Packets that were received only because later packets repeated them. */
  readonly packetsRepaired: number
  /** Packets that did not arrive in time. Late ones are among them, and those that could not be decrypted. */
  readonly packetsLost: number
  /** Samples that were decoded. */
  readonly samplesDecoded: number
  /** Samples that take the place of lost ones. */
  readonly samplesConcealed: number
  /** Samples that are silence, because nothing arrived. */
  readonly samplesSilent: number
  /** Frames that were made: the sum of the next three. */
  readonly framesProduced: number
  /** Frames that the program took, or that are on the way to it. */
  readonly framesDelivered: number
  /** Frames that were dropped, because the program did not take them in time. */
  readonly framesDropped: number
  /** Frames that wait now. */
  readonly framesQueued: number
}

/** What a published track has counted. */
export interface AudioSenderStats {
  /** Units of 20 ms that the track's source had: the sum of the next six. */
  readonly units: number
  /** Packets that were handed to the connection. */
  readonly packetsSent: number
  /**
   * Packets that were dropped: they waited for a connection, and there were more than ten, or the track was muted or
   * ended.
   */
  readonly packetsDropped: number
  /** Packets that wait for the connection now. */
  readonly packetsQueued: number
  /** Units of silence that were not sent, because the receivers knew of the silence. */
  readonly unitsWithheld: number
  /** Units that were not sent, because the track was muted. */
  readonly unitsMuted: number
  /** Units that the codec refused, or that could not be encrypted, because there was no key. */
  readonly unitsFailed: number
  /** Bytes of the packets that were sent, without headers. */
  readonly bytesSent: number
}
