/** A heap that knows the heaviest of its items, whose weights may change. */

/** What can be in a {@link MaxHeap}, in one at a time. */
export interface HeapItem {
  readonly weight: number
  /** @internal Where it stands; −1: in no heap. */
  place: number
}

/** The heaviest item is there at once; a change costs as many steps as the heap has levels. */
export class MaxHeap<T extends HeapItem> {
  readonly #items: T[] = []

  get size(): number {
    return this.#items.length
  }

  /** The heaviest item. */
  peek(): T | undefined {
    return this.#items[0]
  }

  /** Adds an item, or puts one that is there in its place after its weight has changed. */
  update(item: T): void {
    if (item.place < 0) this.#put(item, this.#items.length)
    this.#rise(item)
    this.#sink(item)
  }

  /** Does nothing if it is not there. */
  remove(item: T): void {
    const { place } = item
    if (place < 0) return
    const last = this.#items.pop() as T
    item.place = -1
    if (last === item) return
    this.#put(last, place)
    this.#rise(last)
    this.#sink(last)
  }

  #rise(item: T): void {
    while (item.place > 0) {
      const parent = this.#items[(item.place - 1) >> 1] as T
      if (parent.weight >= item.weight) return
      this.#swap(item, parent)
    }
  }

  #sink(item: T): void {
    for (;;) {
      const left = this.#items[2 * item.place + 1]
      const right = this.#items[2 * item.place + 2]
      const heavier = right !== undefined && left !== undefined && right.weight > left.weight ? right : left
      if (heavier === undefined || heavier.weight <= item.weight) return
      this.#swap(item, heavier)
    }
  }

  #swap(one: T, other: T): void {
    const { place } = one
    this.#put(one, other.place)
    this.#put(other, place)
  }

  #put(item: T, place: number): void {
    this.#items[place] = item
    item.place = place
  }
}
