// The head of both pages: how live they are, the clock, the sentence and what a screen reader is told of it.
/** @import {Sentence} from '../data' */
/** @import {Live} from './live.js' */

import { button, byId, fill, setText } from './dom.js'
import { clock, clockWithZone, duration } from './format.js'

/** A text stands at least so long. */
const STANDS_MS = 2000

export class Head {
  #changedAt = -Infinity
  #said = ''
  #stale = false
  /** @type {Sentence} */ #sentence = { first: '', second: '' }
  #key = ''

  /** @param {Live<any, any>} live @param {() => {zone: string, offset: number}} zone @param {(lastHeard: string) => string} firstIfStale */
  constructor(live, zone, firstIfStale) {
    this.live = live
    this.zone = zone
    this.firstIfStale = firstIfStale
    this.retry = button('Try now', () => live.tryNow(), { class: 'link' })
  }

  /** The newest sentence, and what a change of it is worth telling for. @param {Sentence} sentence @param {string} key */
  set(sentence, key) {
    this.#sentence = sentence
    this.#key = key
    this.show()
  }

  /** Bring the head up to date; once a second, and with each event. */
  show() {
    const { live } = this
    const { zone, offset } = this.zone()
    if (!live.lastNow) return
    setText(byId('clock'), clockWithZone(live.now, zone, offset))
    setText(byId('live'), live.connected ? `Live, ${live.silence.toFixed(1)} s ago` : `Last heard ${duration(live.silence)} ago`)
    document.body.classList.toggle('stale', !live.connected)
    if (live.connected) this.#showSentence()
    else this.#showLost(`${duration(live.silence)} ago (${clock(live.lastNow, offset)})`, clock(live.lastNow, offset))
    this.#stale = !live.connected
  }

  #showSentence() {
    const now = performance.now()
    if (now - this.#changedAt < STANDS_MS && !this.#stale) return
    const { first, second } = this.#sentence
    if (!first) return
    if (byId('first').textContent === first && byId('second').textContent === second) return
    setText(byId('first'), first)
    setText(byId('second'), second)
    this.#changedAt = now
    this.#say(this.#key, `${first} ${second}`)
  }

  /** @param {string} lastHeard @param {string} at */
  #showLost(lastHeard, at) {
    setText(byId('first'), this.firstIfStale(lastHeard))
    const why = this.live.refusal || `The ${document.body.dataset.role ?? 'controller'} does not answer this page.`
    const next = this.live.nextTry ? `Next try in ${Math.ceil(this.live.nextTry)} s. ` : ''
    const text = `${why} The numbers are those of ${at} and may be old. ${next}`
    const second = byId('second')
    if (this.retry.parentElement === second) second.firstChild && (second.firstChild.nodeValue = text)
    else fill(second, text, this.retry)
    this.#say('lost', `Not live. ${why}`)
  }

  /** Tell a screen reader, if it is something else than before. @param {string} key @param {string} text */
  #say(key, text) {
    if (key === this.#said) return
    const first = this.#said === ''
    this.#said = key
    if (!first) setText(byId('said'), text)
  }
}

/** What a sentence says but for its figures: it changes with the cause. @param {string} text */
export function cause(text) {
  return text.replace(/[\d.,:]+/g, '#')
}
