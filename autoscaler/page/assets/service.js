// A service: why this number, when it changes, and the evidence.
/** @import {Candidate, Columns, Decision, Figures, Maybe, Pod, Service, ServiceChange, Start} from '../data' */
/** @import {Figure} from './figures.js' */

import { cause, Head } from './answer.js'
import { decisionsTable } from './decisions.js'
import { byId, el, fill, setText, tag } from './dom.js'
import { oldestWait, showFigures } from './figures.js'
import { minutes, money, number, percent, seconds } from './format.js'
import { Live } from './live.js'
import { chartsOrReason } from './service_charts.js'

/** History that the page keeps. */
const KEPT_S = 3600

const name = document.body.dataset.name ?? ''
/** @type {Service | null} */ let service = null
const place = (/** @type {string} */ id, /** @type {string} */ title, /** @type {string} */ note) =>
  el('section', { id, 'aria-labelledby': `${id}-title` }, el('div', { class: 'title' }, el('h2', { id: `${id}-title` }, title), el('span', { class: 'unit' }, note)), el('div', { class: 'wide' }))
const sections = {
  pods: place('pods', 'Pods', 'in the order they go: idle before busy, then youngest'),
  starts: place('starts', 'Cold starts', ''),
  decisions: place('decisions', 'Decisions', 'newest first; those that changed nothing are gathered'),
  candidates: place('candidates', 'Candidates', 'never written; cost: autoscaler compare'),
}
fill(byId('view'), el('div', { id: 'charts' }), el('div', { class: 'beside' }, sections.pods, sections.starts), el('div', { class: 'beside' }, sections.decisions, sections.candidates))
const charts = chartsOrReason()
if (charts) byId('charts').append(charts.element)

/** @type {Live<Service, ServiceChange>} */
const live = new Live(`/api/v1/services/${name}`, 'service', {
  onSnapshot(snapshot) {
    service = snapshot
    show()
  },
  onChange(change) {
    if (!service) return
    const { points, decisions, ...rest } = change
    service = { ...service, ...rest, begins: Math.min(service.begins, change.begins), series: joined(service.series, points.series), quality: joined(service.quality, points.quality), decisions: merged(service.decisions, decisions) }
    show()
  },
  onState: () => {
    head.show()
    showState()
  },
})
const head = new Head(live, () => service ?? { zone: 'UTC', offset: 0 }, lastHeard => `${said(service?.figures.asked ?? null)}, when last heard ${lastHeard}.`)

/** @param {Maybe} asked */
function said(asked) {
  return asked === null ? 'Unknown replicas' : asked === 1 ? '1 replica' : `${number(asked)} replicas`
}

/** New points in the place of those from their first time on; what is older than an hour goes. @param {Columns} old @param {Columns} added @returns {Columns} */
function joined(old, added) {
  const from = added.time[0] ?? Infinity
  const end = old.time.findIndex(t => t >= from)
  const begin = Math.max(0, old.time.findIndex(t => t >= (added.time.at(-1) ?? 0) - KEPT_S))
  const made = /** @type {Columns} */ ({ time: [] })
  for (const key of Object.keys(old)) made[key] = [...old[key].slice(begin, end < 0 ? undefined : end), ...(added[key] ?? [])]
  return made
}

/** New rows in the place of those from their first time on. @param {Decision[]} old @param {Decision[]} added */
function merged(old, added) {
  const from = Math.min(...added.map(row => row.from))
  return [...added, ...old.filter(row => row.from < from)]
}

function show() {
  if (!service) return
  document.body.dataset.role = service.role
  head.set(service.sentence, `${service.figures.asked}${service.state}${cause(service.sentence.first)}`)
  document.title = `${said(service.figures.asked)}: ${service.name} · Inflight`
  showFigures(figuresOfService(service.figures))
  showState()
  showPods(service.pods)
  showStarts(service.starts)
  decisionsTable(sections.decisions, service)
  showCandidates(service.candidates)
}

let shownState = ''
function showState() {
  if (!service) return
  const text = !live.connected ? 'Not live' : service.state === 'Holding' && service.figures.asked !== null ? `Holding at ${service.figures.asked}` : service.state
  if (text !== shownState) byId('state').replaceChildren(tag(live.connected ? service.state : 'Not live', service.attention, text))
  shownState = text
  charts?.show(service, live.now, !live.connected)
}

// Figures, as `html.py` writes them.

/** @param {Figures} of @returns {Figure[]} */
function figuresOfService(of) {
  return [
    ['Asked', number(of.asked), of.max === null ? '' : `of ${number(of.max)}`],
    ['Ready', number(of.ready), ''],
    ['Starting', number(of.starting), ''],
    ['Queued', number(of.queued), ''],
    ['Running', number(of.running), ''],
    ['Oldest wait', ...oldestWait(of.oldestWait)],
    ['Response P95', of.p95 === null ? 'none' : seconds(of.p95), of.p95 === null ? '' : 's'],
    ...(of.cost === null ? [] : [/** @type {Figure} */ (['Cost today', money(of.cost, of.currency), peak(of)])]),
  ]
}

/** @param {Figures} of */
function peak(of) {
  return of.peakCost === null ? '' : `peak kept: ${money(of.peakCost, of.currency)}`
}

// Pods.

/** @param {Pod[]} pods */
function showPods(pods) {
  const body = /** @type {Element} */ (sections.pods.lastElementChild)
  if (!pods.length) return fill(body, el('p', { class: 'none' }, 'No pods.'))
  const row = (/** @type {Pod} */ pod) => el('tr', {},
    el('th', { scope: 'row', class: 'code' }, pod.name),
    el('td', {}, pod.since === null ? pod.state : `${pod.state} for ${since(live.now - pod.since)}`),
    el('td', { class: 'n' }, pod.age === null ? 'unknown' : minutes(pod.age)),
    el('td', { class: 'n' }, pod.startedIn === null ? '–' : `${seconds(pod.startedIn)} s`),
    el('td', { class: 'n' }, pod.answers === null ? '–' : number(pod.answers)),
    el('td', { class: 'soft' }, pod.goes))
  tableIn(body, 'pods', [['Pod'], ['State'], ['Age', 'n'], ['Started in', 'n'], ['Answers', 'n'], ['Goes']], pods.map(row))
}

/** @param {number} s */
function since(s) {
  return s < 60 ? `${s.toFixed(1)} s` : minutes(s)
}

/**
 * Put rows into a table of this place, which is made if it is not there.
 * @param {Element} body @param {string} kind @param {[string, string?][]} head @param {HTMLTableRowElement[]} rows
 */
function tableIn(body, kind, head, rows) {
  let table = body.querySelector('table')
  if (!table) {
    table = el('table', { class: kind, 'aria-labelledby': `${kind}-title` }, el('thead', {}, el('tr', {}, ...head.map(([text, align]) => el('th', { scope: 'col', class: align ?? null }, text)))), el('tbody'))
    fill(body, table)
  }
  table.tBodies[0].replaceChildren(...rows)
}

// Cold starts.

const STAGES = ['scheduled', 'image', 'container', 'model']

/** @param {Start[]} starts */
function showStarts(starts) {
  const body = /** @type {Element} */ (sections.starts.lastElementChild)
  const note = /** @type {Element} */ (sections.starts.querySelector('.unit'))
  if (!starts.length) {
    setText(note, '')
    return fill(body, el('p', { class: 'none' }, 'No start was measured.'))
  }
  const stages = STAGES.filter(name => starts.some(start => start.stages.some(([stage]) => stage === name)))
  if (note.childElementCount !== stages.length) fill(note, ...stages.map(stage => el('span', {}, el('i', { class: `stage${STAGES.indexOf(stage)}` }), ` ${stage} `)))
  const most = Math.max(...starts.map(start => start.total))
  fill(body, el('ul', { class: 'starts' }, ...starts.slice(-8).map(start => bar(start, most))))
}

/** @param {Start} start @param {number} most */
function bar(start, most) {
  const parts = start.stages.map(([stage, s]) => {
    const part = el('i', { class: `stage${STAGES.indexOf(stage)}` })
    part.style.width = `${(80 * s) / most}%`
    return part
  })
  const words = start.stages.map(([stage, s]) => `${stage} ${seconds(s)} s`).join(', ')
  return el('li', {}, el('span', { class: 'pod' }, start.pod.slice(start.pod.lastIndexOf('-') + 1)), el('span', { class: 'bar' }, ...parts, el('span', {}, `${seconds(start.total)} s`)), el('span', { class: 'sr' }, ` in all: ${words}`))
}

// Candidates.

/** @param {Candidate[]} candidates */
function showCandidates(candidates) {
  const body = /** @type {Element} */ (sections.candidates.lastElementChild)
  sections.candidates.hidden = !candidates.length
  const row = (/** @type {Candidate} */ one) => el('tr', {},
    el('th', { scope: 'row' }, one.name, el('span', { class: 'what' }, one.what), one.sentence ? el('span', { class: 'what' }, one.sentence) : null),
    ...[number(one.wants), one.gpuSeconds === null ? '–' : `${number(one.gpuSeconds, 0)} s`, one.change === null ? '–' : percent(one.change), one.p95Wait === null ? '–' : `${seconds(one.p95Wait)} s`].map(text => el('td', { class: 'n' }, text)))
  tableIn(body, 'candidates', [['Policy'], ['Wants now', 'n'], ['GPU time', 'n'], ['Change', 'n'], ['P95 wait', 'n']], candidates.map(row))
}

live.tryNow()
