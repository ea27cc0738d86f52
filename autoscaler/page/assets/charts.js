// Charts on one time axis with one cursor. uPlot draws them; what is unknown is a dashed box, what is to come a dashed line.
/** @import {Columns, Maybe} from '../data' */

import { el, fill, setText } from './dom.js'
import { clock } from './format.js'

/** @typedef {{label: string, swatch: string, value: (at: number | null) => string}} Key */
/** @typedef {{from: number, to: number, text: string}} Box */
/**
 * One chart as a view describes it. `data` gives columns whose first one is time.
 * @typedef {object} Drawing
 * @property {string} title
 * @property {string} [unit]
 * @property {number} height
 * @property {boolean} [dates] whether the time axis has its labels
 * @property {uPlot.Series[]} series without that of time
 * @property {uPlot.Band[]} [bands]
 * @property {() => Maybe[][]} data
 * @property {(max: number, min: number) => [number, number]} [range]
 * @property {() => Key[]} [keys]
 * @property {() => Box[]} [boxes]
 * @property {() => [text: string, color: string, y: number][]} [ends] labels at the lines' ends
 * @property {string} [nowText]
 * @property {() => string} describe what a screen reader says of it
 * @property {() => {head: string[], rows: string[][]}} table
 */

/** What all charts of a page have in common. */
export class Axis {
  /** @type {Chart[]} */ charts = []
  from = 0
  to = 1
  now = 0
  offset = 0
  /** Where the cursor is. @type {number | null} */ at = null
  stale = false
  colors = new Colors()

  constructor() {
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      this.colors = new Colors()
      for (const chart of this.charts) chart.rebuild()
    })
  }

  /** Move the cursor; null takes it away. @param {number | null} t */
  point(t) {
    this.at = t
    for (const chart of this.charts) chart.read()
  }
}

/** The style sheet's colours, for a canvas. */
class Colors {
  #style = getComputedStyle(document.documentElement)
  /** @type {Map<string, CanvasPattern | null>} */ #hatched = new Map()

  /** @param {string} name */
  get(name) {
    return this.#style.getPropertyValue(`--${name}`).trim()
  }

  /** Lines at 45 degrees. @param {string} name */
  hatched(name) {
    if (!this.#hatched.has(name)) this.#hatched.set(name, hatch(this.get(name)))
    return this.#hatched.get(name) ?? this.get(name)
  }
}

/** @param {string} color */
function hatch(color) {
  const size = Math.round(6 * devicePixelRatio)
  const tile = el('canvas', { width: size, height: size })
  const context = /** @type {CanvasRenderingContext2D} */ (tile.getContext('2d'))
  context.strokeStyle = color
  context.lineWidth = 1.3 * devicePixelRatio
  context.beginPath()
  for (const shift of [-size, 0, size]) {
    context.moveTo(shift - 1, size + 1)
    context.lineTo(shift + size + 1, -1)
  }
  context.stroke()
  return context.createPattern(tile, 'repeat')
}

export class Chart {
  /** @type {uPlot | null} */ #plot = null
  #keys = el('div', { class: 'keys' })
  #box = el('div', { class: 'plot', tabindex: 0, role: 'img' })
  #table = el('details', { class: 'as-table' }, el('summary', {}, 'As a table'))
  #said = el('p', { class: 'sr', role: 'status' })
  #seen = false
  /** Whether the pointer or a key moves the cursor here. */ #leads = false

  /** @param {Axis} axis @param {Drawing} drawing */
  constructor(axis, drawing) {
    this.axis = axis
    this.drawing = drawing
    axis.charts.push(this)
    const title = el('h2', {}, drawing.title)
    this.element = el('section', { class: 'chart' }, el('div', { class: 'title' }, title, drawing.unit ? el('span', { class: 'unit' }, drawing.unit) : null, this.#keys), this.#box, this.#said, this.#table)
    this.#box.addEventListener('keydown', event => this.#moved(event))
    this.#box.addEventListener('blur', () => axis.at !== null && this.#leads && this.#cursor(null))
    this.#table.addEventListener('toggle', () => this.#fillTable())
    new ResizeObserver(() => this.#resize()).observe(this.#box)
    new IntersectionObserver(([entry]) => {
      this.#seen = entry.isIntersecting
      if (this.axis.now) this.update()
    }, { rootMargin: '200px' }).observe(this.element)
  }

  /** Draw what the data are now; a chart out of sight waits until it is seen. */
  update() {
    this.#box.setAttribute('aria-label', `${this.drawing.title}. ${this.drawing.describe()}`)
    if (!this.#seen) return
    if (!this.#plot) this.rebuild()
    const plot = this.#plot
    if (!plot) return
    plot.batch(() => {
      plot.setData(/** @type {uPlot.AlignedData} */ (this.drawing.data()), false)
      plot.setScale('x', { min: this.axis.from, max: this.axis.to })
    })
    this.read()
    this.#fillTable()
  }

  /** Make it anew, as after a change of colours. */
  rebuild() {
    this.#plot?.destroy()
    this.#plot = this.#box.clientWidth ? new uPlot(this.#options(), /** @type {uPlot.AlignedData} */ (this.drawing.data()), this.#box) : null
  }

  /** Show the values at the cursor, or now. */
  read() {
    const { at, offset, now } = this.axis
    const keys = this.drawing.keys?.() ?? []
    if (!keys.length) return
    if (this.#keys.children.length !== keys.length + 1) {
      fill(this.#keys, ...keys.map(key => el('span', {}, el('i', { class: key.swatch }), el('span'), ' ', el('b'))), el('span', { class: 'time', hidden: Boolean(this.drawing.dates) }))
    }
    keys.forEach((key, i) => {
      setText(this.#keys.children[i].children[1], key.label)
      setText(this.#keys.children[i].children[2], key.value(at))
    })
    const time = at === null ? (this.axis.stale ? `last heard ${clock(now, offset)}` : `now, ${clock(now, offset)}`) : `at ${clock(at, offset)}`
    setText(this.#keys.lastElementChild, time)
  }

  /** @returns {uPlot.Options} */
  #options() {
    const { axis, drawing } = this
    const { colors } = axis
    const line = { stroke: colors.get('line'), width: 1 }
    const font = `11px ${getComputedStyle(document.body).fontFamily}`
    return {
      width: this.#box.clientWidth,
      height: drawing.height,
      padding: [6, 8, drawing.dates ? 0 : 4, 0],
      legend: { show: false },
      cursor: { sync: { key: 'time', scales: ['x', null] }, drag: { x: false, y: false }, points: { show: false }, y: false },
      select: { show: false, left: 0, top: 0, width: 0, height: 0 },
      scales: {
        x: { time: false, auto: false, min: axis.from, max: axis.to },
        y: { range: (_plot, min, max) => (drawing.range ?? counts)(max ?? 0, min ?? Infinity) },
      },
      series: [{}, ...drawing.series.map(series => ({ points: { show: false }, spanGaps: false, ...series }))],
      bands: drawing.bands,
      axes: [
        {
          show: drawing.dates,
          stroke: colors.get('soft'),
          font,
          size: 24,
          gap: 4,
          grid: { show: false },
          ticks: { ...line, size: 4 },
          splits: plot => timeSplits(axis, plot.bbox.width / devicePixelRatio),
          values: (_plot, splits) => splits.map(t => clock(t, axis.offset, splits.some(t => t % 60))),
        },
        {
          stroke: colors.get('soft'),
          font,
          size: drawing.ends ? 44 : 30,
          gap: 6,
          grid: line,
          ticks: { show: false },
          splits: (_plot, _axis, min, max) => valueSplits(min, max, drawing.height),
          values: (_plot, splits) => splits.map(value => value.toLocaleString('en')),
        },
      ],
      hooks: {
        draw: [plot => this.#drawOver(plot)],
        setCursor: [plot => this.#pointed(plot)],
      },
    }
  }

  /** @param {uPlot} plot */
  #drawOver(plot) {
    const { axis, drawing } = this
    const { ctx, bbox } = plot
    const x = (/** @type {number} */ t) => Math.max(bbox.left, Math.min(bbox.left + bbox.width, Math.round(plot.valToPos(t, 'x', true))))
    ctx.save()
    ctx.font = `${11 * devicePixelRatio}px ${getComputedStyle(document.body).fontFamily}`
    ctx.textBaseline = 'middle'
    for (const box of drawing.boxes?.() ?? []) this.#drawBox(ctx, bbox, x(box.from), x(box.to), box.text)
    ctx.fillStyle = axis.colors.get('soft')
    ctx.fillRect(x(axis.now), bbox.top, devicePixelRatio, bbox.height)
    ctx.textAlign = 'left'
    const room = bbox.left + bbox.width - x(axis.now) - 5 * devicePixelRatio
    const text = drawing.nowText ?? ''
    if (ctx.measureText(text).width < room) ctx.fillText(text, x(axis.now) + 5 * devicePixelRatio, bbox.top + 9 * devicePixelRatio)
    this.#drawEnds(plot, x(axis.now))
    ctx.restore()
  }

  /** @param {CanvasRenderingContext2D} ctx @param {uPlot.BBox} bbox @param {number} from @param {number} to @param {string} text */
  #drawBox(ctx, bbox, from, to, text) {
    const { colors } = this.axis
    if (to - from < 2) return
    ctx.fillStyle = colors.get('unknown-fill')
    ctx.fillRect(from, bbox.top, to - from, bbox.height)
    ctx.strokeStyle = colors.get('soft')
    ctx.lineWidth = devicePixelRatio
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio])
    ctx.strokeRect(from + 0.5, bbox.top + 0.5, to - from - 1, bbox.height - 1)
    ctx.setLineDash([])
    if (ctx.measureText(text).width > to - from - 8) return
    ctx.fillStyle = colors.get('soft')
    ctx.textAlign = 'center'
    ctx.fillText(text, (from + to) / 2, bbox.top + bbox.height / 2)
  }

  /** Labels at the ends of lines, moved apart. @param {uPlot} plot @param {number} x */
  #drawEnds(plot, x) {
    const { ctx, bbox } = plot
    const high = 13 * devicePixelRatio
    const labels = (this.drawing.ends?.() ?? []).map(([text, color, value]) => ({ text, color, y: plot.valToPos(value, 'y', true) }))
    labels.sort((a, b) => a.y - b.y)
    const overshoot = (/** @type {number} */ i) => bbox.top + bbox.height - (labels.length - i) * high + high / 2
    labels.forEach((label, i) => {
      label.y = Math.max(bbox.top + high / 2, Math.min(label.y, overshoot(i)), i ? labels[i - 1].y + high : -Infinity)
    })
    ctx.font = `600 ${ctx.font}`
    const wide = Math.max(0, ...labels.map(label => ctx.measureText(label.text).width))
    const inside = x + 5 * devicePixelRatio + wide > bbox.left + bbox.width + 8 * devicePixelRatio
    ctx.textAlign = inside ? 'right' : 'left'
    for (const { text, color, y } of labels) {
      ctx.fillStyle = this.axis.colors.get(color)
      ctx.fillText(text, x + (inside ? -5 : 5) * devicePixelRatio, y)
    }
  }

  #resize() {
    const width = this.#box.clientWidth
    if (width && this.#plot && this.#plot.width !== width) this.#plot.setSize({ width, height: this.drawing.height })
  }

  /** @param {uPlot} plot */
  #pointed(plot) {
    if (plot !== this.#plot || (plot.cursor.event === undefined && !this.#leads)) return
    const left = plot.cursor.left ?? -1
    const t = left < 0 ? null : plot.posToVal(left, 'x')
    if (t !== this.axis.at) this.axis.point(t)
  }

  /** The keys move the cursor from point to point. @param {KeyboardEvent} event */
  #moved(event) {
    const times = this.drawing.data()[0].filter(t => t !== null && t >= this.axis.from && t <= this.axis.to)
    const last = times.length - 1
    const at = this.axis.at ?? this.axis.now
    const here = Math.max(0, times.findLastIndex(t => t !== null && t <= at + 1e-6))
    const keys = /** @type {Record<string, number>} */ ({ ArrowLeft: here - 1, ArrowRight: here + 1, PageUp: here - 10, PageDown: here + 10, Home: 0, End: last })
    if (event.key === 'Escape') return this.#cursor(null)
    if (!(event.key in keys) || last < 0) return
    event.preventDefault()
    this.#cursor(times[Math.max(0, Math.min(last, keys[event.key]))])
    setText(this.#said, [...this.#keys.children].map(key => key.textContent).join(', '))
  }

  /** @param {Maybe} t */
  #cursor(t) {
    const plot = this.#plot
    if (!plot) return
    this.#leads = true
    plot.setCursor(t === null ? { left: -10, top: -10 } : { left: plot.valToPos(t, 'x'), top: 0 })
    this.axis.point(t)
    this.#leads = t !== null
  }

  #fillTable() {
    if (!this.#table.open) return
    const { head, rows } = this.drawing.table()
    const table = el('table', {},
      el('thead', {}, el('tr', {}, ...head.map(text => el('th', { scope: 'col' }, text)))),
      el('tbody', {}, ...rows.map(row => el('tr', {}, ...row.map((text, i) => el(i ? 'td' : 'th', i ? {} : { scope: 'row' }, text))))))
    const old = this.#table.querySelector('.wide')
    const made = el('div', { class: 'wide', tabindex: 0, role: 'group', 'aria-label': `${this.drawing.title} as a table` }, table)
    if (!old) this.#table.append(made)
    else old.replaceChildren(table)
  }
}

/** From zero to a round number above the largest. @param {number} max @returns {[number, number]} */
export function counts(max) {
  const step = stepOf(Math.max(1, max))
  return [0, Math.max(2, Math.floor(max / step + 1) * step)]
}

/** @param {number} max */
function stepOf(max) {
  const rough = max / 3
  const power = 10 ** Math.floor(Math.log10(rough))
  return Math.max(1, power * ([1, 2, 5].find(each => rough <= each * power * 1.01) ?? 10))
}

/** @param {number} min @param {number} max @param {number} height */
function valueSplits(min, max, height) {
  const step = max - min <= 5 && min > 0 ? max - min : Math.max(stepOf(max - min), height < 130 ? stepOf((max - min) * 1.2) : 0)
  const splits = []
  for (let value = min; value <= max + step / 1000; value += step) splits.push(value)
  return splits
}

const TIME_STEPS = [5, 10, 15, 60, 120, 300, 600, 900, 1200, 1800, 3600]

/** @param {Axis} axis @param {number} width */
function timeSplits(axis, width) {
  const span = axis.to - axis.from
  const step = TIME_STEPS.find(each => (each / span) * width >= (each < 60 ? 84 : 64)) ?? 3600
  const splits = []
  for (let t = Math.ceil((axis.from + axis.offset) / step) * step - axis.offset; t <= axis.to - (16 * span) / width; t += step) splits.push(t)
  return splits
}

/** The value that holds at a time: that of the last point before it. @param {ArrayLike<number>} times @param {Maybe[]} values @param {number} t @returns {Maybe} */
export function valueAt(times, values, t) {
  let low = 0
  let high = times.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (times[middle] <= t + 1e-6) low = middle + 1
    else high = middle
  }
  return low ? values[low - 1] : null
}

/** Where a count is unknown, as boxes. @param {number[]} times @param {Maybe[]} values @param {number} from @param {number} to @param {string} text */
export function unknownBoxes(times, values, from, to, text) {
  /** @type {Box[]} */ const boxes = []
  let since = null
  for (let i = 0; i < times.length; i++) {
    if (values[i] === null) since ??= times[i]
    else if (since !== null) {
      if (times[i] > from) boxes.push({ from: Math.max(since, from), to: times[i], text })
      since = null
    }
  }
  if (since !== null) boxes.push({ from: Math.max(since, from), to, text })
  return boxes
}

/**
 * Rows for "As a table": those at which something changed, and no more than a reader can look over.
 * @param {Columns} columns @param {string[]} names @param {number} from @param {number} offset @param {(value: Maybe) => string} say
 */
export function changedRows(columns, names, from, offset, say) {
  /** @type {string[][]} */ const rows = []
  let last = ''
  for (let i = 0; i < columns.time.length; i++) {
    if (columns.time[i] < from) continue
    const values = names.map(name => say(columns[name][i]))
    if (values.join() === last) continue
    last = values.join()
    rows.push([clock(columns.time[i], offset), ...values])
  }
  const each = Math.ceil(rows.length / 60)
  return rows.filter((_, i) => i % each === 0 || i === rows.length - 1).reverse()
}
