/** A heap that gives its heaviest item. The weights of items may change. */

/** An item of a {@link MaxHeap}. It can be in one heap at a time. */
export interface HeapItem {
  readonly weight: number
  /** @internal Index in the heap; −1: not in a heap. */
  place: number
}

/** Finding the heaviest item takes constant time. A change takes logarithmic time. */
export class MaxHeap<T extends HeapItem> {
  readonly #items: T[] = []

  get size(): number {
    return this.#items.length
  }

  /** The heaviest item. */
  peek(): T | undefined {
    return this.#items[0]
  }

  /** Adds an item, or moves it to its new position after its weight has changed. */
  update(item: T): void {
    if (item.place < 0) this.#put(item, this.#items.length)
    this.#rise(item)
    this.#sink(item)
  }

  /** Removes an item. Does nothing if the item is not in the heap. */
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
