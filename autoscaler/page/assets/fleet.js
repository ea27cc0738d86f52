// The fleet: who needs attention, what runs, what it costs.
/** @import {Fleet, FleetChange, Maybe, Row, Totals} from '../data' */
/** @import {Figure} from './figures.js' */

import { cause, Head } from './answer.js'
import { button, byId, el, fill, setText, tag } from './dom.js'
import { oldestWait, showFigures } from './figures.js'
import { minutes, money, number, seconds, UNKNOWN } from './format.js'
import { Live } from './live.js'
import { VirtualList } from './rows.js'
import { spark } from './spark.js'

/** @type {Map<string, Row>} */ let services = new Map()
let zone = { zone: 'UTC', offset: 0 }

// The states that the buttons choose by.

/** @type {[string, (row: Row) => boolean][]} */
const GROUPS = [
  ['All', () => true],
  ['Attention', row => row.attention],
  ['Running', row => (row.ready ?? 0) > 0],
  ['Waking', row => row.ready === 0 && (row.asked ?? 0) > 0],
  ['At zero', row => row.asked === 0],
]
let group = 0
let text = ''

// The columns: a head, how a row is ordered by it, and whether the largest comes first.

/** @typedef {{name: string, label: string, by?: (row: Row) => number | string, cell: (row: Row) => HTMLElement}} Column */
const numberCell = (/** @type {string} */ content, /** @type {string} */ name) => el('span', { role: 'cell', class: `n ${name}` }, content)

/** A count; an unknown one is a question mark, with a word for a screen reader. @param {Maybe} value @param {string} name @param {(value: number) => string} [say] */
function count(value, name, say = value => number(value)) {
  if (value !== null) return numberCell(say(value), name)
  return el('span', { role: 'cell', class: `n ${name}` }, el('b', { 'aria-hidden': 'true' }, UNKNOWN), el('span', { class: 'sr' }, 'unknown'))
}

const of = (/** @type {Maybe} */ value) => value ?? -1
/** @type {Column[]} */
const COLUMNS = [
  { name: 'name', label: 'Service', by: row => row.name, cell: row => el('span', { role: 'cell', class: 'name' }, el('a', { href: `/services/${row.name}` }, row.name)) },
  { name: 'state', label: 'State', by: row => row.state, cell: row => el('span', { role: 'cell', class: 'state' }, tag(row.state, row.attention)) },
  { name: 'ready', label: 'Ready / asked', by: row => of(row.ready), cell: row => numberCell(`${number(row.ready)} / ${number(row.asked)}`, 'ready') },
  { name: 'queued', label: 'Queued', by: row => of(row.queued), cell: row => count(row.queued, 'queued') },
  { name: 'running', label: 'Running', by: row => of(row.running), cell: row => count(row.running, 'running') },
  { name: 'wait', label: 'Oldest wait', by: row => of(row.oldestWait), cell: row => count(row.oldestWait, 'wait', s => (s ? minutes(s) : '–')) },
  { name: 'p95', label: 'P95, s', by: row => of(row.p95), cell: row => (row.p95 === null && row.queued !== null ? numberCell('–', 'p95') : count(row.p95, 'p95', seconds)) },
  { name: 'hour', label: 'Last hour', cell: row => el('span', { role: 'cell', class: 'hour' }, spark(row.spark), el('span', { class: 'sr' }, hour(row))) },
  { name: 'cost', label: 'Cost today', by: row => of(row.cost), cell: row => numberCell(row.cost === null ? '–' : money(row.cost, row.currency), 'cost') },
  { name: 'peak', label: 'Peak kept', by: row => of(row.peakCost), cell: row => numberCell(row.peakCost === null ? '–' : money(row.peakCost, row.currency), 'peak') },
]
/** @type {{column: Column | null, down: boolean}} */
const order = { column: null, down: false }

/** What the small picture shows, in words. @param {Row} row */
function hour(row) {
  const most = Math.max(0, ...row.spark.map(part => (part ? (part[0] ?? 0) + (part[1] ?? 0) : 0)))
  const unknown = row.spark.some(part => !part || part[0] === null) ? ', partly unknown' : ''
  return `at most ${number(most)} in flight${unknown}`
}

// The parts of the page.

const filter = el('input', { type: 'search', id: 'filter', placeholder: 'Filter by name, namespace or state', 'aria-label': 'Filter services by name, namespace or state', autocomplete: 'off' })
const groups = el('div', { class: 'choice', role: 'group', 'aria-label': 'Filter by state' })
const found = el('p', { class: 'none', role: 'status' })
const body = el('div', { role: 'rowgroup', class: 'rows' })
const table = el('div', { role: 'table', class: 'fleet', 'aria-label': 'Services' })
const head = el('div', { role: 'row', class: 'head', 'aria-rowindex': 1 })
const list = new VirtualList(body, /** @param {Row} row */ row => row.name, rendered)

/** @param {Row} row */
function rendered(row) {
  const short = el('span', { role: 'cell', class: 'short' }, row.short)
  return el('div', { role: 'row', class: 'row' }, ...COLUMNS.map(column => column.cell(row)), short, el('span', { class: 'brief', 'aria-hidden': 'true' }, brief(row)))
}

/** What a phone shows in place of the columns. @param {Row} row */
function brief(row) {
  const waits = row.queued === null ? 'queue unknown' : `${number(row.queued)} queued, ${number(row.running)} running`
  const cost = row.cost === null ? '' : ` · ${money(row.cost, row.currency)} today`
  return `${number(row.ready)} ready of ${number(row.asked)} · ${waits}${cost}`
}

function build() {
  const legend = el('p', { class: 'legend', 'aria-hidden': 'true' }, el('i', { class: 'running' }), ' running', el('i', { class: 'queued' }), ' queued', el('i', { class: 'line' }), ' slots asked')
  table.append(el('div', { role: 'rowgroup' }, head), body)
  fill(byId('view'), el('div', { class: 'tools' }, filter, groups, legend), table, found)
  filter.addEventListener('input', () => {
    text = filter.value.trim().toLowerCase()
    show()
  })
  for (const [i, [name]] of GROUPS.entries()) groups.append(button(name, () => choose(i), { 'aria-pressed': i === 0 }))
  for (const column of COLUMNS) {
    const label = column.by ? button(column.label, () => sort(column)) : column.label
    head.append(el('span', { role: 'columnheader', class: column.name }, label))
  }
  head.append(el('span', { role: 'columnheader', class: 'sr' }, 'Why'))
  table.addEventListener('keydown', moved)
}

/** @param {number} chosen */
function choose(chosen) {
  group = chosen
  ;[...groups.children].forEach((each, i) => each.setAttribute('aria-pressed', String(i === group)))
  show()
}

/** First up or down, then the other way, then as it was: attention, queue, name. @param {Column} column */
function sort(column) {
  const large = column.name !== 'name' && column.name !== 'state'
  if (order.column !== column) Object.assign(order, { column, down: large })
  else if (order.down === large) order.down = !large
  else order.column = null
  head.querySelectorAll('[role=columnheader]').forEach((each, i) => {
    if (COLUMNS[i] && COLUMNS[i] === order.column) each.setAttribute('aria-sort', order.down ? 'descending' : 'ascending')
    else each.removeAttribute('aria-sort')
  })
  show()
}

/** Arrow keys go from row to row. @param {KeyboardEvent} event */
function moved(event) {
  const steps = /** @type {Record<string, number>} */ ({ ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity })
  const step = steps[event.key]
  const row = document.activeElement?.closest('.row')
  if (step === undefined || !row) return
  event.preventDefault()
  const at = Number(row.getAttribute('aria-rowindex')) - 2
  const to = Math.max(0, Math.min(shown.length - 1, at + step))
  list.reveal(to)?.querySelector('a')?.focus()
}

// What is shown.

/** @type {Row[]} */ let shown = []

function show() {
  const all = [...services.values()]
  const matching = all.filter(row => !text || `${row.name} ${row.state}`.toLowerCase().includes(text))
  GROUPS.forEach(([name, belongs], i) => setText(groups.children[i], `${name} ${number(matching.filter(belongs).length)}`))
  shown = matching.filter(GROUPS[group][1]).sort(compare)
  table.setAttribute('aria-rowcount', String(shown.length + 1))
  setText(found, all.length && !shown.length ? 'No service matches the filter.' : '')
  table.hidden = !all.length
  list.set(shown)
}

/** @param {Row} a @param {Row} b */
function compare(a, b) {
  const by = order.column?.by
  if (by) {
    const [x, y] = [by(a), by(b)]
    if (x !== y) return (x < y ? -1 : 1) * (order.down ? -1 : 1)
  }
  return Number(b.attention) - Number(a.attention) || (b.queued ?? Infinity) - (a.queued ?? Infinity) || Number(!a.asked) - Number(!b.asked) || (a.name < b.name ? -1 : 1)
}

/** @type {Live<Fleet, FleetChange>} */
const live = new Live('/api/v1/fleet', 'fleet', {
  onSnapshot(fleet) {
    services = new Map(fleet.services.map(row => [row.name, row]))
    zone = fleet
    document.body.dataset.role = fleet.role
    update(fleet)
  },
  onChange(change) {
    if (change.complete) services.clear()
    for (const row of change.services) services.set(row.name, row)
    for (const name of change.gone) services.delete(name)
    update(change)
  },
  onState: () => answer.show(),
})
const answer = new Head(live, () => zone, lastHeard => `${number(services.size)} ${services.size === 1 ? 'service' : 'services'}, when last heard ${lastHeard}.`)

/** @param {FleetChange | Fleet} of */
function update(of) {
  answer.set(of.sentence, cause(of.sentence.first) + [...services.values()].filter(row => row.attention).map(row => row.name).join())
  showFigures(figuresOfFleet(of.totals))
  show()
}

// Figures, as `html.py` writes them.

/** @param {Totals} of @returns {Figure[]} */
function figuresOfFleet(of) {
  /** @type {Figure[]} */
  const figures = [
    ['Ready', number(of.ready), of.asked === null ? '' : `of ${number(of.asked)} asked`],
    ['Not ready yet', number(of.starting), of.starting === 1 ? 'replica' : 'replicas'],
    ['Queued', number(of.queued), ''],
    ['Running', number(of.running), ''],
    ['Oldest wait', ...oldestWait(of.oldestWait)],
  ]
  if (of.cost !== null) figures.push(['Cost today', money(of.cost, of.currency), ''])
  if (of.peakCost !== null) figures.push(['Peak kept', money(of.peakCost, of.currency), saved(of.cost, of.peakCost)])
  if (of.quotes?.of) figures.push(['Quoted waits kept', `${Math.round((100 * of.quotes.kept) / of.quotes.of)}\u00a0%`, `of ${number(of.quotes.of)}, 24 h`])
  return figures
}

/** @param {Maybe} cost @param {number} whole */
function saved(cost, whole) {
  return cost === null || !whole || cost >= whole ? '' : `−${Math.round(100 * (1 - cost / whole))}\u00a0%`
}

build()
live.tryNow()
