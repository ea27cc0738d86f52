// The last hour of a service in a row of the fleet: bars of requests running and waiting, and the slots asked for as a line.
/** @import {Row} from '../data' */

const WIDTH = 132
const HEIGHT = 36

/** @param {Row['spark']} parts */
export function spark(parts) {
  const top = Math.max(1, ...parts.map(part => (part ? Math.max((part[0] ?? 0) + (part[1] ?? 0), part[2] ?? 0) : 0)))
  const width = WIDTH / Math.max(1, parts.length)
  const y = (/** @type {number} */ value) => HEIGHT - 2 - (value / top) * (HEIGHT - 4)
  const picture = svg('svg', { class: 'spark', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, 'aria-hidden': 'true' })
  let line = ''
  parts.forEach((part, i) => {
    const x = i * width
    const box = (/** @type {string} */ name, /** @type {number} */ from, /** @type {number} */ to) =>
      to > from && picture.append(svg('rect', { class: name, x, y: y(to), width, height: y(from) - y(to) }))
    if (!part || part[0] === null || part[1] === null) {
      picture.append(svg('rect', { class: 'unknown', x: x + 0.5, y: 0.5, width: width - 1, height: HEIGHT - 2 }))
    } else {
      box('running', 0, part[0])
      box('queued', part[0], part[0] + part[1])
    }
    const asked = part?.[2]
    if (asked !== null && asked !== undefined) line += `${line && i ? 'V' : 'M' + x + ' '}${y(asked)}H${x + width}`
  })
  if (line) picture.append(svg('path', { class: 'asked', d: line }))
  return picture
}

/**
 * @param {string} tag @param {Record<string, string | number>} attributes @param {Node[]} children
 * @returns {SVGElement}
 */
function svg(tag, attributes, ...children) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value))
  made.append(...children)
  return made
}
