// Draws the charts of a report with uPlot. Their values stand in the element `charts` as JSON, and beside each chart as a table.
;(() => {
  /** @typedef {number | null} Maybe */
  /** @typedef {{name: string, draw: string, color: string, values: Maybe[]}} Line */
  /** @typedef {{title: string, x: number[], xLabel: string, xUnit: string, unit: string, axis: string, names: string[], says: string, series: Line[]}} Drawn */

  const DASHES = [[], [6, 3], [2, 2], [9, 3, 2, 3]]
  const COLORS = 8
  const MOST_NAMES = 12
  const STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 432000, 864000]
  const UNITS = /** @type {[number, string][]} */ ([[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']])

  /** @type {Drawn[]} */
  const drawn = JSON.parse(document.getElementById('charts')?.textContent ?? '[]')
  const places = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('section.chart')])

  /** @param {string} name */
  const colorOf = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()

  /** @param {Maybe | undefined} value */
  const say = value => (value === null || value === undefined ? '?' : value.toLocaleString('en', { maximumSignificantDigits: Math.abs(value) < 1000 ? 4 : 9, maximumFractionDigits: 2 }))

  /** `48 s`, `4 min 12 s`, `2 h 5 min`. @param {number} s */
  function duration(s) {
    if (s < 60) return `${say(Math.round(s * 100) / 100)} s`
    let rest = Math.round(s)
    const words = []
    for (const [size, unit] of UNITS) {
      const whole = Math.floor(rest / size)
      if (whole) words.push(`${whole} ${unit}`)
      rest -= whole * size
    }
    return words.slice(0, 2).join(' ')
  }

  /** @param {Line} line @param {number} place */
  const nameOfColor = (line, place) => line.color || `c${place % COLORS}`

  /** The series of uPlot for one of ours. @param {Line} line @param {number} place @returns {uPlot.Series} */
  function seriesOf(line, place) {
    const stroke = colorOf(nameOfColor(line, place))
    const points = line.draw === 'points'
    const fill = line.draw === 'area' ? colorOf(`${line.color}-fill`) || stroke : undefined
    return {
      label: line.name,
      stroke,
      fill,
      width: points ? 0 : fill ? 1 : 1.6,
      dash: line.color || points ? undefined : DASHES[Math.floor(place / COLORS) % DASHES.length],
      paths: points ? () => null : line.draw === 'line' ? undefined : uPlot.paths.stepped?.({ align: 1 }),
      points: { show: points, size: 8, fill: stroke },
      spanGaps: line.draw === 'line',
    }
  }

  /** @param {number} from @param {number} to @param {number} room */
  function timeSplits(from, to, room) {
    const step = STEPS_S.find(each => (to - from) / each <= room) ?? Math.ceil((to - from) / room / 864000) * 864000
    const splits = []
    for (let t = Math.ceil(from / step - 1e-9) * step; t <= to + step * 1e-6; t += step) splits.push(t)
    return splits
  }

  /** @param {number[]} splits */
  function timeLabels(splits) {
    const step = splits.length > 1 ? splits[1] - splits[0] : 1
    const [size, unit] = UNITS.find(([each]) => step >= each) ?? [1, 's']
    return splits.map(t => (t ? `${say(Math.round((t / size) * 100) / 100)} ${unit}` : '0'))
  }

  class ReportChart {
    /** @type {uPlot | null} */ #plot = null
    /** @type {number | null} */ #at = null

    /** @param {HTMLElement} place @param {Drawn} chart */
    constructor(place, chart) {
      this.place = place
      this.chart = chart
      this.shown = chart.series.map(() => true)
      const find = (/** @type {string} */ name) => /** @type {HTMLElement} */ (place.querySelector(name))
      this.box = find('.plot')
      this.keys = find('.keys')
      this.said = find('[role=status]')
      find('details').removeAttribute('open')
      this.box.tabIndex = 0
      this.box.setAttribute('role', 'img')
      this.box.setAttribute('aria-label', `${chart.title}. ${chart.says} The arrow keys read its values.`)
      this.box.addEventListener('keydown', event => this.#moved(event))
      this.box.addEventListener('blur', () => this.#point(null))
      chart.series.forEach((line, i) => this.keys.append(this.#key(line, i)))
      this.keys.append(Object.assign(document.createElement('span'), { className: 'time' }))
      new ResizeObserver(() => this.#resize()).observe(this.box)
      this.draw()
    }

    /** A key shows a value, and hides and shows its series. @param {Line} line @param {number} i */
    #key(line, i) {
      const key = document.createElement('button')
      const swatch = document.createElement('i')
      swatch.style.background = colorOf(line.draw === 'area' ? `${line.color}-fill` : nameOfColor(line, i))
      key.append(swatch, line.name, ' ', document.createElement('b'))
      key.setAttribute('aria-pressed', 'true')
      key.title = 'Hide or show'
      key.addEventListener('click', () => {
        this.shown[i] = !this.shown[i]
        key.setAttribute('aria-pressed', String(this.shown[i]))
        this.#plot?.setSeries(i + 1, { show: this.shown[i] })
      })
      return key
    }

    /** Make it anew, as after a change of colours. */
    draw() {
      this.#plot?.destroy()
      const width = this.box.clientWidth
      this.#plot = width ? new uPlot(this.#options(width), /** @type {uPlot.AlignedData} */ ([this.chart.x, ...this.chart.series.map(each => each.values)]), this.box) : null
      this.chart.series.forEach((line, i) => {
        const swatch = /** @type {HTMLElement} */ (this.keys.children[i].firstElementChild)
        swatch.style.background = colorOf(line.draw === 'area' ? `${line.color}-fill` : nameOfColor(line, i))
      })
    }

    /** @param {number} width @returns {uPlot.Options} */
    #options(width) {
      const { chart } = this
      const soft = colorOf('soft')
      const line = { stroke: colorOf('line'), width: 1 }
      const font = `11px ${getComputedStyle(document.body).fontFamily}`
      const time = chart.xUnit === 's'
      const [first, last] = [chart.x[0] ?? 0, chart.x[chart.x.length - 1] ?? 1]
      const pad = chart.series.some(each => each.draw === 'points') ? (last - first || 1) * 0.04 : 0
      return {
        width,
        height: chart.series.some(each => each.draw === 'points') ? 320 : 210,
        padding: [8, 12, 0, 0],
        legend: { show: false },
        cursor: { sync: chart.axis ? { key: chart.axis, scales: ['x', null] } : undefined, drag: { x: true, y: false }, y: false, points: { size: 7 } },
        scales: {
          x: { time: false, range: (_plot, min, max) => (min === first && max === last ? [first - pad, last > first ? last + pad : first + 1] : [min, max]) },
          y: { range: (_plot, min, max) => this.#range(min, max) },
        },
        series: [{}, ...chart.series.map((each, i) => ({ ...seriesOf(each, i), show: this.shown[i] }))],
        axes: [
          {
            stroke: soft, font, size: 30, gap: 4, grid: { show: false }, ticks: { ...line, size: 4 },
            label: chart.xLabel || undefined, labelFont: font, labelSize: 16, labelGap: 0,
            ...(time && {
              splits: (/** @type {uPlot} */ plot, /** @type {number} */ _i, /** @type {number} */ min, /** @type {number} */ max) => timeSplits(Math.max(min, first), max, Math.max(2, plot.bbox.width / devicePixelRatio / 70)),
              values: (/** @type {uPlot} */ _plot, /** @type {number[]} */ splits) => timeLabels(splits),
            }),
          },
          { stroke: soft, font, size: 52, gap: 6, grid: line, ticks: { show: false }, values: (_plot, splits) => splits.map(value => say(value)) },
        ],
        hooks: { draw: [plot => this.#drawNames(plot)], setCursor: [plot => this.#read(plot)], setScale: [(plot, key) => key === 'x' && this.#zoomed(plot, first, last)] },
      }
    }

    /** Few points have their names beside them. @param {uPlot} plot */
    #drawNames(plot) {
      const { names, series, x } = this.chart
      const place = series.findIndex(each => each.draw === 'points')
      if (!names.length || x.length > MOST_NAMES || place < 0 || !this.shown[place]) return
      const { ctx, bbox } = plot
      ctx.save()
      ctx.font = `${12 * devicePixelRatio}px ${getComputedStyle(document.body).fontFamily}`
      ctx.fillStyle = colorOf('ink')
      series[place].values.forEach((value, i) => {
        if (value === null) return
        const left = plot.valToPos(x[i], 'x', true)
        const before = left > bbox.left + bbox.width * 0.7
        ctx.textAlign = before ? 'right' : 'left'
        ctx.fillText(names[i], left + (before ? -9 : 9) * devicePixelRatio, plot.valToPos(value, 'y', true) - 8 * devicePixelRatio)
      })
      ctx.restore()
    }

    /** Shares end at 100 %; all others begin at 0 and have room above, unless they are points. @param {Maybe} min @param {Maybe} max @returns {[number, number]} */
    #range(min, max) {
      const [low, high] = [min ?? 0, max ?? 1]
      if (this.chart.unit === '%' && low >= 0) return [0, Math.max(102, high)]
      if (this.chart.series.some(each => each.draw === 'points') && low > 0) return [low - (high - low || low) * 0.1, high + (high - low || high) * 0.1]
      return [Math.min(0, low * 1.05), high > 0 ? high * 1.08 : high === low ? 1 : 0]
    }

    /** @param {uPlot} plot @param {number} first @param {number} last */
    #zoomed(plot, first, last) {
      const { min, max } = plot.scales.x
      const old = this.place.querySelector('.reset')
      const whole = min === undefined || max === undefined || (min <= first && max >= last)
      if (whole) return old?.remove()
      if (old) return
      const reset = document.createElement('button')
      reset.className = 'reset'
      reset.textContent = 'Whole time'
      reset.addEventListener('click', () => charts.filter(each => each === this || (this.chart.axis && each.chart.axis === this.chart.axis)).forEach(each => each.#whole()))
      this.keys.after(reset)
    }

    #whole() {
      const { x } = this.chart
      this.#plot?.setScale('x', { min: x[0], max: x[x.length - 1] })
    }

    /** Show the values at the cursor. @param {uPlot} plot */
    #read(plot) {
      const place = plot.cursor.idx
      const here = place === null || place === undefined || (plot.cursor.left ?? -1) < 0 ? null : place
      if (here === this.#at) return
      this.#at = here
      this.chart.series.forEach((line, i) => {
        const value = this.keys.children[i].querySelector('b')
        if (value) value.textContent = here === null ? '' : say(line.values[here])
      })
      const time = /** @type {HTMLElement} */ (this.keys.lastElementChild)
      time.textContent = here === null ? '' : this.#where(here)
    }

    /** @param {number} i */
    #where(i) {
      const { names, x, xUnit } = this.chart
      return [names[i], `at ${xUnit === 's' ? duration(x[i]) : say(x[i])}`].filter(Boolean).join(', ')
    }

    /** The keys move the cursor from value to value. @param {KeyboardEvent} event */
    #moved(event) {
      const last = this.chart.x.length - 1
      const here = this.#at ?? (event.key === 'ArrowLeft' ? last + 1 : -1)
      const far = Math.max(1, Math.round(last / 20))
      const keys = /** @type {Record<string, number>} */ ({ ArrowLeft: here - 1, ArrowRight: here + 1, PageUp: here - far, PageDown: here + far, Home: 0, End: last })
      if (event.key === 'Escape') return this.#point(null)
      if (!(event.key in keys) || last < 0) return
      event.preventDefault()
      this.#point(Math.max(0, Math.min(last, keys[event.key])))
      this.said.textContent = [...this.keys.children].map(each => each.textContent).filter(Boolean).join(', ')
    }

    /** @param {number | null} i */
    #point(i) {
      this.#plot?.setCursor(i === null ? { left: -10, top: -10 } : { left: this.#plot.valToPos(this.chart.x[i], 'x'), top: 0 })
    }

    #resize() {
      const width = this.box.clientWidth
      if (!width) return
      if (!this.#plot) this.draw()
      else if (this.#plot.width !== width) this.#plot.setSize({ width, height: this.#plot.height })
    }
  }

  const charts = places.map((place, i) => new ReportChart(place, drawn[i]))
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => charts.forEach(chart => chart.draw()))
})()
