// A virtual list: rows of one height, of which those in sight and some beyond are in the document.

/** How many rows are kept beyond those in sight, above and below. */
const BEYOND = 6

/**
 * @template Item
 */
export class VirtualList {
  /** @type {Map<string, {element: HTMLElement, item: Item}>} */ #shown = new Map()
  /** @type {Item[]} */ #items = []
  #rowHeight = 52
  #asked = false

  /**
   * @param {HTMLElement} container
   * @param {(item: Item) => string} key
   * @param {(item: Item) => HTMLElement} render
   */
  constructor(container, key, render) {
    this.container = container
    this.key = key
    this.render = render
    const soon = () => this.#soon()
    addEventListener('scroll', soon, { passive: true })
    addEventListener('resize', soon)
  }

  /** @param {Item[]} items */
  set(items) {
    this.#items = items
    this.#draw()
  }

  /** Scroll a row into sight, and give its element. @param {number} index */
  reveal(index) {
    const top = this.container.getBoundingClientRect().top + scrollY + index * this.#rowHeight
    if (top < scrollY || top + this.#rowHeight > scrollY + innerHeight) scrollTo({ top: top - innerHeight / 2 })
    this.#draw()
    return this.#shown.get(this.key(this.#items[index]))?.element
  }

  #soon() {
    if (this.#asked) return
    this.#asked = true
    requestAnimationFrame(() => {
      this.#asked = false
      this.#draw()
    })
  }

  #draw() {
    this.#rowHeight = parseFloat(getComputedStyle(this.container).getPropertyValue('--row')) || 52
    const height = `${this.#items.length * this.#rowHeight}px`
    if (this.container.style.height !== height) this.container.style.height = height
    const above = -this.container.getBoundingClientRect().top
    const from = Math.max(0, Math.floor(above / this.#rowHeight) - BEYOND)
    const to = Math.min(this.#items.length, Math.ceil((above + innerHeight) / this.#rowHeight) + BEYOND)
    const kept = new Set()
    for (let i = from; i < to; i++) {
      kept.add(this.key(this.#items[i]))
      this.#place(this.#items[i], i)
    }
    for (const [key, { element }] of this.#shown) {
      // A row that has the focus stays, so that a reader does not lose the place.
      if (kept.has(key) || element.contains(document.activeElement)) continue
      element.remove()
      this.#shown.delete(key)
    }
  }

  /** @param {Item} item @param {number} index */
  #place(item, index) {
    const key = this.key(item)
    let row = this.#shown.get(key)
    if (!row || row.item !== item) row = this.#rendered(key, item, row?.element)
    const y = `translateY(${index * this.#rowHeight}px)`
    if (row.element.style.transform !== y) row.element.style.transform = y
    const at = String(index + 2)
    if (row.element.getAttribute('aria-rowindex') !== at) {
      row.element.setAttribute('aria-rowindex', at)
      this.#order(row.element, index)
    }
  }

  /** Keep the order of the document, and so that of the Tab key, the order of the rows. @param {HTMLElement} element @param {number} index */
  #order(element, index) {
    const after = [...this.container.children].find(other => Number(other.getAttribute('aria-rowindex')) > index + 2)
    if (element.nextElementSibling !== (after ?? null)) this.container.insertBefore(element, after ?? null)
  }

  /** @param {string} key @param {Item} item @param {HTMLElement | undefined} old */
  #rendered(key, item, old) {
    const made = this.render(item)
    if (old) {
      const focused = old.contains(document.activeElement)
      made.style.transform = old.style.transform
      made.setAttribute('aria-rowindex', old.getAttribute('aria-rowindex') ?? '')
      old.replaceWith(made)
      if (focused) made.querySelector('a')?.focus({ preventScroll: true })
    } else {
      this.container.append(made)
    }
    const row = { element: made, item }
    this.#shown.set(key, row)
    return row
  }
}
