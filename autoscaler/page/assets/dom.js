// Small helpers for elements. Text is only ever set as text: nothing that comes from the server is read as HTML.

/** @typedef {Node | string | null | undefined | false} Child */

/**
 * An element with attributes and children; `class` and `data-...` are attributes as well.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {Record<string, string | number | boolean | null>} [attributes] @param {Child[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && (value !== false || name.startsWith('aria-'))) made.setAttribute(name, value === true && !name.startsWith('aria-') ? '' : String(value))
  }
  made.append(...kept(children))
  return made
}

/** Set a text, if it is another one. @param {Element | null} element @param {string} text */
export function setText(element, text) {
  if (element && element.textContent !== text) element.textContent = text
}

/** Put children in the place of those there are. @param {Element} element @param {Child[]} children */
export function fill(element, ...children) {
  element.replaceChildren(...kept(children))
}

/** The element of this id; the first answer's HTML has it. @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const found = document.getElementById(id)
  if (!found) throw new Error(`the page has no element ${id}`)
  return found
}

/** A state as glyph and word; the glyph comes from the style sheet. @param {string} state @param {boolean} attention @param {string} [text] */
export function tag(state, attention, text = state) {
  return el('span', { class: 'tag', 'data-state': state, 'data-attention': attention }, text)
}

/** A button. @param {string} text @param {() => void} pressed @param {Record<string, string | number | boolean | null>} [attributes] */
export function button(text, pressed, attributes = {}) {
  const made = el('button', { type: 'button', ...attributes }, text)
  made.addEventListener('click', pressed)
  return made
}

/** @param {Child[]} children @returns {(Node | string)[]} */
function kept(children) {
  return /** @type {(Node | string)[]} */ (children.filter(child => child || child === ''))
}
