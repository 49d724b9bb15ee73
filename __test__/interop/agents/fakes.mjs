// What a voice agent asks services for, without services. Words are frequencies: the recognizer writes down the tone that
// it hears, the language model answers with twice that number, and the synthesizer plays it.
import { AudioByteStream, llm, stt, tts } from '@livekit/agents'

/** A frame is loud if its root mean square is above this. A tone has 7000 and more. */
const LOUD = 1000
/** ms of sound after which speech has begun, and of silence after which it has ended. */
const [BEGINS, ENDS] = [100, 200]
/** The length of an answer, and of one "at length", ms. */
const [ANSWER, LONG] = [1500, 10_000]

const alternative = (text) => ({ language: 'en', text, startTime: 0, endTime: 0, confidence: 1 })

/** Recognizes tones. */
export class ToneSTT extends stt.STT {
  label = 'tone.STT'

  constructor() {
    super({ streaming: true, interimResults: true })
  }

  async _recognize() {
    throw new Error('it recognizes streams only')
  }

  stream(options) {
    return new ToneSTTStream(this, undefined, options?.connOptions)
  }
}

class ToneSTTStream extends stt.SpeechStream {
  label = 'tone.STTStream'

  async run() {
    let speaking = false
    let [loud, silent, crossings, samples, last] = [0, 0, 0, 0, 0]
    for await (const frame of this.input) {
      if (frame === ToneSTTStream.FLUSH_SENTINEL) continue
      const { data, sampleRate, samplesPerChannel } = frame
      const ms = (1000 * samplesPerChannel) / sampleRate
      if (rootMeanSquare(data) > LOUD) {
        silent = 0
        loud += ms
        for (const sample of data) {
          if (sample >= 0 !== last >= 0) crossings += 1
          last = sample
        }
        samples += data.length / sampleRate
        if (speaking || loud < BEGINS) continue
        speaking = true
        this.queue.put({ type: stt.SpeechEventType.START_OF_SPEECH })
        const text = tone(crossings, samples)
        this.queue.put({ type: stt.SpeechEventType.INTERIM_TRANSCRIPT, alternatives: [alternative(text)] })
      } else if (speaking) {
        silent += ms
        if (silent < ENDS) continue
        const alternatives = [alternative(tone(crossings, samples))]
        this.queue.put({ type: stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives })
        this.queue.put({ type: stt.SpeechEventType.END_OF_SPEECH, alternatives })
        speaking = false
        ;[loud, silent, crossings, samples] = [0, 0, 0, 0]
      } else {
        ;[loud, crossings, samples] = [0, 0, 0]
      }
    }
  }
}

const rootMeanSquare = (data) =>
  Math.sqrt(data.reduce((sum, sample) => sum + sample * sample, 0) / data.length)

/** A tone crosses zero twice in a period. It is rounded, because some of the frames are loud in part only. */
const tone = (crossings, seconds) => String(50 * Math.round(crossings / seconds / 2 / 50))

/** Answers a number with twice the number, and one of 700 and more at length. */
export class DoublingLLM extends llm.LLM {
  label() {
    return 'doubling.LLM'
  }

  chat({ chatCtx, toolCtx, connOptions }) {
    return new DoublingLLMStream(this, { chatCtx, toolCtx, connOptions })
  }
}

class DoublingLLMStream extends llm.LLMStream {
  async run() {
    const isFromUser = ({ type, role }) => type === 'message' && role === 'user'
    const said = Number(this.chatCtx.items.findLast(isFromUser).textContent)
    const content = `You said ${said}. I say ${2 * said}${said < 700 ? '' : ', at length'}.`
    for (const word of content.split(/(?<= )/))
      this.queue.put({ id: 'answer', delta: { role: 'assistant', content: word } })
  }
}

/** Plays the last number of a text as a tone. */
export class ToneTTS extends tts.TTS {
  label = 'tone.TTS'

  constructor() {
    super(24_000, 1, { streaming: true })
  }

  synthesize() {
    throw new Error('it synthesizes streams only')
  }

  stream(options) {
    return new ToneTTSStream(this, options?.connOptions)
  }
}

class ToneTTSStream extends tts.SynthesizeStream {
  label = 'tone.TTSStream'

  async run() {
    let text = ''
    for await (const part of this.input) if (part !== ToneTTSStream.FLUSH_SENTINEL) text += part
    const frequency = Number(/(\d+)\D*$/.exec(text)?.[1])
    const ms = text.includes('at length') ? LONG : ANSWER
    const samples = Int16Array.from(
      { length: 24 * ms },
      (_, index) => 12_000 * Math.sin((2 * Math.PI * frequency * index) / 24_000),
    )
    const frames = new AudioByteStream(24_000, 1).write(samples)
    for (const [index, frame] of frames.entries()) {
      const final = index === frames.length - 1
      this.queue.put({ requestId: 'answer', segmentId: 'answer', frame, final })
    }
    this.queue.put(ToneTTSStream.END_OF_STREAM)
  }
}
