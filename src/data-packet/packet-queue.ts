/** The order in which packets are sent: first single messages, then the chunks of bulk writers in turn. */

/** A first-in, first-out queue whose `shift` does not move what is left. */
export class Fifo<T> {
  #items: (T | undefined)[] = []
  #head = 0

  get length(): number {
    return this.#items.length - this.#head
  }

  push(item: T): void {
    this.#items.push(item)
  }

  /** Puts an item back at the front. */
  unshift(item: T): void {
    if (this.#head === 0) this.#items.unshift(item)
    else this.#items[--this.#head] = item
  }

  peek(): T | undefined {
    return this.#items[this.#head]
  }

  shift(): T | undefined {
    const item = this.#items[this.#head]
    if (this.length === 0) return undefined
    this.#items[this.#head++] = undefined
    if (this.#head >= 64 && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return item
  }

  *[Symbol.iterator](): Generator<T> {
    for (let at = this.#head; at < this.#items.length; at++) yield this.#items[at] as T
  }
}

/** A bulk writer's place in a {@link PacketQueue}. */
export class Turn<T> {
  readonly items = new Fifo<T>()
}

/** Items of single messages, and of bulk writers that take turns. */
export class PacketQueue<T> {
  readonly #messages = new Fifo<T>()
  readonly #turns = new Fifo<Turn<T>>()
  #length = 0

  get length(): number {
    return this.#length
  }

  /** `turn`: a bulk writer's place. Without one, the item goes before all bulk items. */
  push(item: T, turn?: Turn<T>): void {
    this.#length++
    if (turn === undefined) {
      this.#messages.push(item)
      return
    }
    if (turn.items.length === 0) this.#turns.push(turn)
    turn.items.push(item)
  }

  /** The next item. Each bulk writer sends one item, then it is the next writer's turn. */
  shift(): T | undefined {
    const message = this.#messages.shift()
    if (message !== undefined) {
      this.#length--
      return message
    }
    const turn = this.#turns.shift()
    const item = turn?.items.shift()
    if (turn === undefined || item === undefined) return undefined
    this.#length--
    if (turn.items.length > 0) this.#turns.push(turn)
    return item
  }

  /** Puts an item back that could not be sent. It is the next one again. */
  unshift(item: T): void {
    this.#length++
    this.#messages.unshift(item)
  }

  /** Removes and returns all items. */
  clear(): T[] {
    const items: T[] = []
    for (let item = this.shift(); item !== undefined; item = this.shift()) items.push(item)
    return items
  }
}
