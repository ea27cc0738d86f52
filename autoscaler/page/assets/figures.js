// The figures below the sentence. `html.py` writes the same ones into the first answer.
/** @import {Maybe} from '../data' */

import { byId, el, fill, setText } from './dom.js'
import { minutes, UNKNOWN } from './format.js'

/** @typedef {[label: string, value: string, note: string]} Figure */

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

/** The oldest wait and its unit. @param {Maybe} s @returns {[string, string]} */
export function oldestWait(s) {
  if (s === null) return [UNKNOWN, '']
  return s < 60 ? s ? [`${s | 0}`, 's'] : ['none', ''] : [minutes(s), s < 3600 ? 'min' : 'h']
}
