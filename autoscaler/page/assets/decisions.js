// The decisions of a service as a table; each row opens to its steps.
/** @import {Decision, Maybe, Service} from '../data' */

import { button, el, fill } from './dom.js'
import { clock, number } from './format.js'

/** Rows shown at first; a button shows more. */
const FIRST = 12
const HEAD = /** @type {[string, string][]} */ ([['Time', ''], ['Replicas', 'n'], ['In flight', 'n'], ['Ready', 'n'], ['Recommendation', ''], ['Rules', ''], ['Result', '']])

/** @type {Set<string>} */ const open = new Set()
/** @type {Map<string, {row: Decision, elements: HTMLTableRowElement[]}>} */ let made = new Map()
let most = FIRST
/** @type {Service} */ let newest

/** @param {HTMLElement} section @param {Service} service */
export function decisionsTable(section, service) {
  newest = service
  const body = /** @type {Element} */ (section.lastElementChild)
  if (!service.decisions.length) {
    const why = service.role === 'gateway' ? 'This gateway knows no controller: replicas asked for and decisions are unknown here.' : 'No decision yet.'
    return fill(body, el('p', { class: 'none' }, why))
  }
  if (!body.querySelector('table')) {
    const head = el('tr', {}, ...HEAD.map(([text, align]) => el('th', { scope: 'col', class: align || null }, text)))
    fill(body, el('table', { class: 'decisions', 'aria-labelledby': 'decisions-title' }, el('thead', {}, head), el('tbody')), el('p', {}, button('Show older decisions', () => {
      most += 50
      decisionsTable(section, newest)
    })))
  }
  const rows = service.decisions.slice(0, most)
  const kept = new Map(rows.map(row => [row.id, elementsOf(row, service.offset)]))
  const wanted = [...kept.values()].flatMap(one => one.elements)
  const table = /** @type {HTMLTableElement} */ (body.querySelector('table'))
  place(table.tBodies[0], wanted)
  made = kept
  const older = /** @type {HTMLElement} */ (body.lastElementChild)
  older.hidden = service.decisions.length <= most
}

/** Put these rows there and leave alone what is there already, so that no focus is lost. @param {Element} body @param {Element[]} wanted */
function place(body, wanted) {
  const stay = new Set(wanted)
  for (const child of [...body.children]) if (!stay.has(child)) child.remove()
  wanted.forEach((row, i) => {
    if (body.children[i] !== row) body.insertBefore(row, body.children[i] ?? null)
  })
}

/** @param {Decision} row @param {number} offset */
function elementsOf(row, offset) {
  const old = made.get(row.id)
  if (old && JSON.stringify(old.row) === JSON.stringify(row)) return { row, elements: old.elements }
  const focused = old?.elements[0].contains(document.activeElement)
  const elements = elementsFor(row, offset)
  if (focused) requestAnimationFrame(() => elements[0].querySelector('button')?.focus())
  return { row, elements }
}

/** @param {Decision} row @param {number} offset */
function elementsFor(row, offset) {
  const steps = `steps-${row.id}`
  const toggle = button(times(row, offset), () => {
    open.has(row.id) ? open.delete(row.id) : open.add(row.id)
    shown()
  }, { class: 'opens', 'aria-controls': steps })
  const line = el('tr', {},
    el('th', { scope: 'row' }, toggle),
    ...[`${number(row.before)} → ${number(row.after)}`, range(row.inflight), range(row.ready)].map(text => el('td', { class: 'n' }, text)),
    el('td', {}, row.recommendation), el('td', { class: 'soft' }, row.rules || 'none'), el('td', { class: 'soft' }, row.result))
  const list = el('dl', {}, ...row.steps.flatMap(({ label, number: value, text }) => [el('dt', {}, label), el('dd', { class: 'n' }, value === null ? '' : number(value)), el('dd', {}, text)]))
  const opened = el('tr', { id: steps, class: 'steps' }, el('td', { colspan: HEAD.length }, list))
  const shown = () => {
    const is = open.has(row.id)
    toggle.setAttribute('aria-expanded', String(is))
    opened.hidden = !is
    line.classList.toggle('open', is)
  }
  shown()
  return [line, opened]
}

/** @param {Decision} row @param {number} offset */
function times(row, offset) {
  return row.count > 1 ? `${clock(row.from, offset)} – ${clock(row.to, offset)}` : clock(row.to, offset)
}

/** @param {[number, number] | Maybe} of */
function range(of) {
  if (of === null) return 'unknown'
  return Array.isArray(of) ? (of[0] === of[1] ? number(of[0]) : `${number(of[0])} – ${number(of[1])}`) : number(of)
}
