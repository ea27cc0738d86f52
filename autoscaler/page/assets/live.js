// What comes from the server: one snapshot, then events. A hidden page closes its stream; a lost one is tried again.

const TRY_AGAIN_S = [1, 2, 5]
/** A stream without an event for so long counts as lost: the server sends one at least every 5 s. */
const SILENT_S = 12

/**
 * @template Snapshot, Change
 * @typedef {object} Reader
 * @property {(snapshot: Snapshot) => void} onSnapshot
 * @property {(change: Change) => void} onChange
 * @property {() => void} onState
 */

/**
 * Follows one address of the server.
 * @template {{now: number}} Snapshot
 * @template {{now: number}} Change
 */
export class Live {
  /** @type {EventSource | null} */ #stream = null
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer
  #failures = 0
  #heardAt = performance.now()
  #serverNow = 0
  #nextTryAt = 0
  #asking = false
  /** False from a failure until the next event. */
  connected = true
  /** What the server said, if it refused. */
  refusal = ''

  /** @param {string} address @param {string} event @param {Reader<Snapshot, Change>} reader */
  constructor(address, event, reader) {
    this.address = address
    this.event = event
    this.reader = reader
    document.addEventListener('visibilitychange', () => (document.hidden ? this.#close() : this.tryNow()))
    addEventListener('pagehide', () => this.#close())
    setInterval(() => this.#watch(), 1000)
  }

  /** The server's time, or the time it would be. */
  get now() {
    return this.#serverNow + this.silence
  }

  /** The server's time when it was last heard. */
  get lastNow() {
    return this.#serverNow
  }

  /** Seconds since it was last heard. */
  get silence() {
    return (performance.now() - this.#heardAt) / 1000
  }

  /** Seconds until the next try. */
  get nextTry() {
    return Math.max(0, (this.#nextTryAt - performance.now()) / 1000)
  }

  /** Ask at once. */
  async tryNow() {
    if (this.#asking || document.hidden) return
    this.#close()
    this.#asking = true
    try {
      const answer = await fetch(this.address, { headers: { Accept: 'application/json' } })
      if (!answer.ok) return this.#lost(await answer.text())
      const snapshot = /** @type {Snapshot} */ (await answer.json())
      this.#heard(snapshot.now)
      this.reader.onSnapshot(snapshot)
      this.reader.onState()
      this.#follow()
    } catch {
      this.#lost('')
    } finally {
      this.#asking = false
    }
  }

  #follow() {
    const stream = new EventSource(`${this.address}/events?since=${this.#serverNow}`)
    this.#stream = stream
    stream.addEventListener(this.event, message => {
      const change = /** @type {Change} */ (JSON.parse(message.data))
      this.#heard(change.now)
      this.#failures = 0
      this.refusal = ''
      this.connected = true
      this.reader.onChange(change)
      this.reader.onState()
    })
    stream.addEventListener('error', async () => {
      // A stream that was refused does not say why; a request for the same does.
      const why = stream.readyState === EventSource.CLOSED ? await refusalOf(stream.url) : ''
      if (stream === this.#stream) this.#lost(why)
    })
  }

  /** @param {number} now */
  #heard(now) {
    this.#heardAt = performance.now()
    this.#serverNow = now
  }

  /** @param {string} why */
  #lost(why) {
    this.#close()
    this.connected = false
    this.refusal = why
    const wait = 1000 * TRY_AGAIN_S[Math.min(this.#failures++, TRY_AGAIN_S.length - 1)]
    this.#nextTryAt = performance.now() + wait
    this.#timer = setTimeout(() => this.tryNow(), wait)
    this.reader.onState()
  }

  #close() {
    clearTimeout(this.#timer)
    this.#stream?.close()
    this.#stream = null
  }

  #watch() {
    if (document.hidden) return
    if (this.#stream && this.silence > SILENT_S) this.#lost('')
    this.reader.onState()
  }
}

/** @param {string} url */
async function refusalOf(url) {
  try {
    const answer = await fetch(url)
    if (!answer.ok) return await answer.text()
    await answer.body?.cancel()
  } catch {
    // It does not answer at all.
  }
  return ''
}
