// The figures below the sentence. `html.py` writes the same ones into the first answer.
/** @import {Figures, Maybe, Totals} from '../data' */

import { byId, el, fill, setText } from './dom.js'
import { minutes, money, number, seconds, UNKNOWN } from './format.js'

/** @typedef {[label: string, value: string, note: string]} Figure */

/** @param {Figures} of @returns {Figure[]} */
export function figuresOfService(of) {
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

/** @param {Totals} of @returns {Figure[]} */
export function figuresOfFleet(of) {
  /** @type {Figure[]} */
  const figures = [
    ['Ready', number(of.ready), of.asked === null ? '' : `of ${number(of.asked)} asked`],
    ['Not ready yet', number(of.starting), of.starting === 1 ? 'replica' : 'replicas'],
    ['Queued', number(of.queued), ''],
    ['Running', number(of.running), ''],
    ['Oldest wait', ...oldestWait(of.oldestWait)],
  ]
  if (of.cost !== null) figures.push(['Cost today', money(of.cost, of.currency), ''])
  if (of.peakCost !== null) figures.push(['Peak kept all day', money(of.peakCost, of.currency), saved(of.cost, of.peakCost)])
  if (of.quotes?.of) figures.push(['Quoted waits kept', `${Math.round((100 * of.quotes.kept) / of.quotes.of)}\u00a0%`, `of ${number(of.quotes.of)}, 24 h`])
  return figures
}

/** Show them; those that are there already only change their text. @param {Figure[]} figures */
export function showFigures(figures) {
  const list = byId('figures')
  if (list.children.length !== figures.length) fill(list, ...figures.map(() => el('div', {}, el('dt'), el('dd', {}, el('b'), ' ', el('span')))))
  figures.forEach(([label, value, note], i) => {
    const item = list.children[i]
    setText(item.querySelector('dt'), label)
    setText(item.querySelector('b'), value)
    setText(item.querySelector('span'), note)
  })
}

/** @param {Maybe} s @returns {[string, string]} */
function oldestWait(s) {
  if (s === null) return [UNKNOWN, '']
  return s > 0 ? [minutes(s), s >= 3600 ? 'h' : 'min'] : ['none', '']
}

/** @param {Figures} of */
function peak(of) {
  return of.peakCost === null ? '' : `peak all day: ${money(of.peakCost, of.currency)}`
}

/** @param {Maybe} cost @param {number} whole */
function saved(cost, whole) {
  return cost === null || !whole || cost >= whole ? '' : `−${Math.round(100 * (1 - cost / whole))}\u00a0%`
}
