// The charts of a service: what is in flight over the replicas, and below them the quality.
/** @import {Columns, Forecast, Maybe, Service} from '../data' */
/** @import {Box, Drawing} from './charts.js' */

import { Axis, changedRows, Chart, counts, unknownBoxes, valueAt } from './charts.js'
import { button, byId, el } from './dom.js'
import { clock, number, plural, seconds } from './format.js'

const RANGES = /** @type {[string, number][]} */ ([['6 min', 372], ['15 min', 900], ['1 h', 3600]])
/** What is to come has at most this part of the axis. */
const AHEAD = 0.32
/** With fewer answers a percentile is a thin line with their number. */
const FEW = 20

/** What the charts draw; `service.js` keeps it. */
export class ServiceCharts {
  axis = new Axis()
  #range = RANGES[0][1]
  /** @type {Service | null} */ #service = null
  #steps = uPlot.paths.stepped?.({ align: 1 })

  constructor() {
    const ranges = el('div', { class: 'choice', role: 'group', 'aria-label': 'Time shown' })
    for (const [text, s] of RANGES) {
      ranges.append(button(text, () => {
        this.#range = s
        for (const each of ranges.children) each.setAttribute('aria-pressed', String(each.textContent === text))
        this.draw()
      }, { 'aria-pressed': s === this.#range }))
    }
    const inflight = new Chart(this.axis, this.#inflight())
    inflight.element.querySelector('.title')?.append(ranges)
    const replicas = new Chart(this.axis, this.#replicas())
    const quality = [this.#answers(), this.#success(), this.#errors(), this.#response()].map(drawing => new Chart(this.axis, drawing))
    this.element = el('div', {}, el('div', { class: 'big' }, inflight.element, replicas.element), el('div', { class: 'quality' }, ...quality.map(chart => chart.element)))
  }

  /** @param {Service} service @param {number} now @param {boolean} stale */
  show(service, now, stale) {
    this.#service = service
    Object.assign(this.axis, { now: stale ? service.now : now, offset: service.offset, stale })
    this.draw(now)
  }

  draw(now = this.axis.now) {
    const service = this.#service
    if (!service) return
    const ends = this.#forecast?.time.at(-1) ?? 0
    const ahead = Math.max(this.#range * 0.015, Math.min(ends - now, this.#range * AHEAD))
    this.axis.to = now + ahead
    this.axis.from = this.axis.to - this.#range
    for (const chart of this.axis.charts) chart.update()
  }

  /** @returns {Forecast | null} */
  get #forecast() {
    return this.axis.stale ? null : this.#service?.forecast ?? null
  }

  /** The columns of a history with one more point, now, at which the last values still hold. @param {'series' | 'quality'} of @returns {Columns} */
  #history(of) {
    const columns = this.#service?.[of] ?? { time: [] }
    const last = columns.time.length - 1
    if (last < 0 || columns.time[last] >= this.axis.now) return columns
    return /** @type {Columns} */ (Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, [...values, name === 'time' ? this.axis.now : values[last]]])))
  }

  /** Columns for uPlot: a history, and behind it one line of the forecast. @param {string[]} names @param {'average' | 'asked'} [line] */
  #columns(names, line) {
    const columns = this.#history('series')
    const ahead = line && this.#forecast
    const from = columns.time.at(-1) ?? 0
    const more = ahead ? ahead.time.map((t, i) => /** @type {[number, Maybe]} */ ([t, ahead[line][i]])).filter(([t]) => t > from) : []
    const blank = more.map(() => null)
    const data = [[...columns.time, ...more.map(([t]) => t)]]
    for (const name of names) data.push(.../** @type {any} */ ([[...this.#column(columns, name), ...blank]]))
    if (line) {
      const past = columns.time.map((_, i) => (more.length && i === columns.time.length - 1 ? columns[line]?.[i] ?? null : null))
      data.push(/** @type {any} */ ([...past, ...more.map(([, value]) => value)]))
    }
    return /** @type {Maybe[][]} */ (data)
  }

  /** A column, or the sum of two: `running+queued`. @param {Columns} columns @param {string} name @returns {Maybe[]} */
  #column(columns, name) {
    const [first, second] = name.split('+')
    const [a, b] = [columns[first] ?? [], columns[second] ?? []]
    return columns.time.map((_, i) => (second ? sum(a[i], b[i]) : a[i] ?? null))
  }

  /** A value at the cursor, or now. @param {string} name @param {number | null} at @param {'average' | 'asked'} [line] */
  #read(name, at, line) {
    const columns = this.#history('series')
    const last = columns.time.at(-1) ?? 0
    if (at !== null && at > last) {
      const ahead = line && this.#forecast
      return ahead ? `${number(valueAt(ahead.time, ahead[line], at))} forecast` : ''
    }
    const value = valueAt(columns.time, columns[name] ?? [], at ?? Infinity)
    return value === null && line === 'average' ? 'none' : number(value)
  }

  /** What is not known of a series: before this process, at a gap, since the page lost the server. @param {string} name @returns {Box[]} */
  #boxes(name) {
    const { axis } = this
    const service = this.#service
    if (!service) return []
    const columns = this.#history('series')
    const boxes = unknownBoxes(columns.time, columns[name] ?? [], Math.max(axis.from, service.begins), axis.now, 'unknown')
    if (service.begins > axis.from) boxes.push({ from: axis.from, to: service.begins, text: 'before this process' })
    if (axis.stale) boxes.push({ from: axis.now, to: axis.to, text: 'not heard' })
    return boxes
  }

  /** @param {string} name */
  #color(name) {
    return () => this.axis.colors.get(name)
  }

  get #averageName() {
    return this.#service?.averageName ?? 'average'
  }

  /** @returns {Drawing} */
  #inflight() {
    return {
      title: 'Requests in flight',
      height: 148,
      nowText: 'now',
      series: [
        { stroke: this.#color('queued'), width: 1, paths: this.#steps },
        { stroke: this.#color('running'), width: 1, paths: this.#steps, fill: this.#color('running-fill') },
        { stroke: this.#color('ink'), width: 1.5 },
        { stroke: this.#color('ink'), width: 1.5, dash: [4, 4] },
      ],
      bands: [{ series: [1, 2], fill: /** @type {any} */ (this.#color('queued-fill')) }],
      data: () => this.#columns(['running+queued', 'running', 'average'], 'average'),
      keys: () => [
        { label: 'running', swatch: 'running', value: at => this.#read('running', at) },
        { label: 'queued', swatch: 'queued', value: at => this.#read('queued', at) },
        { label: this.#averageName, swatch: 'line', value: at => this.#read('average', at, 'average') },
      ],
      boxes: () => this.#boxes('running'),
      describe: () => {
        const most = largest(this.#column(this.#history('series'), 'running+queued'))
        return `${this.#extent()} At most ${number(most)} in flight; now ${this.#read('running', null)} running, ${this.#read('queued', null)} queued, ${this.#averageName} ${this.#read('average', null)}.`
      },
      table: () => this.#table('series', ['running', 'queued', 'average'], ['Running', 'Queued', this.#averageName], number),
    }
  }

  /** @returns {Drawing} */
  #replicas() {
    return {
      title: 'Replicas',
      height: 168,
      dates: true,
      get nowText() { return innerWidth < 600 ? 'if none arrive' : 'if nothing more arrives' },
      series: [
        { stroke: this.#color('starting'), width: 1, paths: this.#steps },
        { stroke: this.#color('ready'), width: 1, paths: this.#steps, fill: this.#color('ready-fill') },
        { stroke: this.#color('ink'), width: 2, paths: this.#steps },
        { stroke: this.#color('ink'), width: 1.5, paths: this.#steps, dash: [4, 4] },
      ],
      bands: [{ series: [1, 2], fill: /** @type {any} */ (() => this.axis.colors.hatched('starting')) }],
      data: () => this.#columns(['ready+starting', 'ready', 'asked'], 'asked'),
      keys: () => [
        { label: 'asked', swatch: 'line', value: at => this.#read('asked', at, 'asked') },
        { label: 'ready', swatch: 'ready', value: at => this.#read('ready', at) },
        { label: 'starting', swatch: 'starting', value: at => this.#read('starting', at) },
      ],
      boxes: () => this.#boxes('ready'),
      describe: () => `${this.#extent()} At most ${number(largest(this.#history('series').asked ?? []))} asked; now ${this.#read('asked', null)} asked, ${this.#read('ready', null)} ready, ${this.#read('starting', null)} starting.${this.#toCome()}`,
      table: () => this.#table('series', ['asked', 'ready', 'starting'], ['Asked', 'Ready', 'Starting'], number),
    }
  }

  /** @returns {Drawing} */
  #answers() {
    return this.#quality({
      title: 'Answers per minute',
      columns: [['answers', 'Answers', 'running']],
      ends: value => [[number(value('answers'), 0), 'ink', 'answers']],
    })
  }

  /** @returns {Drawing} */
  #success() {
    return this.#quality({
      title: 'Success rate',
      unit: '%',
      columns: [['success', 'Success, %', 'ready']],
      scale: 100,
      range: (_max, min) => [min < 95 ? 0 : 95, 100.6],
      ends: value => [[`${number(value('success'), 1)} %`, 'ink', 'success']],
    })
  }

  /** @returns {Drawing} */
  #errors() {
    return this.#quality({
      title: '4xx and 5xx',
      unit: 'per minute',
      columns: [['4xx', '4xx', 'queued'], ['5xx', '5xx', 'bad', [5, 3]]],
      ends: value => [[`4xx ${number(value('4xx'), 1)}`, 'queued', '4xx'], [`5xx ${number(value('5xx'), 1)}`, 'bad', '5xx']],
    })
  }

  /** @returns {Drawing} */
  #response() {
    const names = ['p99', 'p95', 'p90', 'p50']
    return this.#quality({
      title: 'Response time',
      unit: 's, with the wait',
      columns: names.map(name => [name, name.toUpperCase(), name]),
      few: true,
      ends: value => names.map(name => [`${name.toUpperCase()} ${seconds(value(name))}`, 'ink', name]),
    })
  }

  /**
   * A small chart of the quality.
   * @param {object} of
   * @param {string} of.title @param {string} [of.unit] @param {[name: string, label: string, color: string, dash?: number[]][]} of.columns
   * @param {number} [of.scale] @param {boolean} [of.few] whether lines of few answers are thin @param {Drawing['range']} [of.range]
   * @param {(value: (name: string) => number) => [text: string, color: string, name: string][]} of.ends
   * @returns {Drawing}
   */
  #quality({ title, unit, columns, scale = 1, few = false, range = counts, ends }) {
    const scaled = (/** @type {Maybe} */ value) => (value === null || value === undefined ? null : value * scale)
    const last = (/** @type {string} */ name) => scaled(this.#history('quality')[name]?.at(-1) ?? null)
    const isFew = (/** @type {Maybe} */ count) => few && count !== null && count < FEW
    /** @param {string} name @param {boolean} thin */
    const line = (name, thin) => {
      const history = this.#history('quality')
      const belongs = (/** @type {number} */ i) => isFew(history.count?.[i] ?? null) === thin
      // One more point, so that a thin line and the full one behind it meet.
      return (history[name] ?? []).map((value, i) => (belongs(i) || (i && belongs(i - 1)) ? scaled(value) : null))
    }
    const count = () => this.#history('quality').count?.at(-1) ?? 0
    return {
      title,
      unit,
      height: 122,
      dates: true,
      range,
      series: columns.flatMap(([, , name, dash]) => {
        const stroke = this.#color(name)
        const full = { stroke, width: 1.8, paths: this.#steps, dash }
        return few ? [full, { stroke, width: 0.8, paths: this.#steps, dash }] : [full]
      }),
      data: () => /** @type {Maybe[][]} */ ([this.#history('quality').time, ...columns.flatMap(([name]) => (few ? [line(name, false), line(name, true)] : [line(name, false)]))]),
      ends: () => {
        const known = columns.every(([name]) => last(name) !== null)
        if (!known) return []
        /** @type {[string, string, number][]} */
        const labels = ends(name => last(name) ?? 0).map(([text, color, name]) => [text, color, last(name) ?? 0])
        return few && isFew(count()) ? [...labels, [plural(count() ?? 0, 'answer'), 'soft', 0]] : labels
      },
      boxes: () => [],
      describe: () => {
        const now = columns.map(([name, label]) => `${label} ${last(name) === null ? 'none' : number(last(name))}`).join(', ')
        return `${this.#extent()} Now ${now}.${few && isFew(count()) ? ` Of ${plural(count() ?? 0, 'answer')} only.` : ''}`
      },
      table: () => this.#table('quality', [...columns.map(([name]) => name), ...(few ? ['count'] : [])], [...columns.map(([, label]) => label), ...(few ? ['Answers'] : [])], value => number(scaled(value))),
    }
  }

  #extent() {
    const { from, now, offset } = this.axis
    return `From ${clock(from, offset)} to ${clock(now, offset)}.`
  }

  #toCome() {
    const ahead = this.#forecast
    if (!ahead?.first || !ahead.last) return ''
    const { offset } = this.axis
    return ` If nothing more arrives, the first goes at ${clock(ahead.first, offset)} and the last at ${clock(ahead.last, offset)}.`
  }

  /** @param {'series' | 'quality'} of @param {string[]} names @param {string[]} labels @param {(value: Maybe) => string} say */
  #table(of, names, labels, say) {
    const word = (/** @type {Maybe} */ value) => (value === null || value === undefined ? (of === 'series' ? 'unknown' : 'none') : say(value))
    return { head: ['Time', ...labels], rows: changedRows(this.#history(of), names, this.axis.from, this.axis.offset, word) }
  }
}

/** @param {Maybe} a @param {Maybe} b @returns {Maybe} */
function sum(a, b) {
  return a === null || b === null ? null : a + b
}

/** @param {Maybe[]} values @returns {Maybe} */
function largest(values) {
  const known = values.filter(value => value !== null)
  return known.length ? Math.max(.../** @type {number[]} */ (known)) : null
}

/** The place for charts, and what it says if uPlot is missing. */
export function chartsOrReason() {
  if (typeof uPlot !== 'undefined') return new ServiceCharts()
  byId('charts').append(el('p', { class: 'none' }, 'There are no charts: this installation lacks uPlot (make web).'))
  return null
}
