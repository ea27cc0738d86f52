// What the page gets as JSON, for the type checker. `snapshot.py` makes it; null is unknown, a time is in Unix seconds.

export type Maybe = number | null

export interface Sentence { first: string; second: string }

interface Common {
  now: number
  zone: string
  offset: number
  role: 'controller' | 'gateway' | 'log'
  leads: boolean
  leader: string | null
  sentence: Sentence
}

export interface Row {
  name: string
  state: string
  attention: boolean
  short: string
  asked: Maybe
  ready: Maybe
  queued: Maybe
  running: Maybe
  oldestWait: Maybe
  p95: Maybe
  cost: Maybe
  peakCost: Maybe
  currency: string | null
  spark: ([Maybe, Maybe, Maybe] | null)[]
}

export interface Totals {
  ready: Maybe
  asked: Maybe
  starting: Maybe
  queued: Maybe
  running: Maybe
  oldestWait: Maybe
  oldestAt: string | null
  cost: Maybe
  peakCost: Maybe
  currency: string | null
  quotes: { kept: number; of: number } | null
  leftOut: string[]
}

export interface Fleet extends Common { totals: Totals; services: Row[] }

/** Rows that changed; if it is `complete`, all there are. */
export interface FleetChange { now: number; sentence: Sentence; totals: Totals; services: Row[]; gone: string[]; complete?: boolean }

export interface Figures {
  asked: Maybe
  max: Maybe
  ready: Maybe
  starting: Maybe
  queued: Maybe
  running: Maybe
  oldestWait: Maybe
  p95: Maybe
  cost: Maybe
  peakCost: Maybe
  currency: string | null
}

export type Columns = { time: number[] } & Record<string, Maybe[]>

export interface Forecast { time: number[]; average: Maybe[]; asked: Maybe[]; first: Maybe; last: Maybe }

export interface Pod {
  name: string
  state: string
  /** Since when it is idle or busy. */
  since: Maybe
  age: Maybe
  startedIn: Maybe
  answers: Maybe
  goes: string
}

export interface Start { pod: string; at: number; stages: [string, number][]; total: number }

export interface Step { label: string; number: Maybe; text: string }

export interface Decision {
  id: string
  from: number
  to: number
  count: number
  before: Maybe
  after: Maybe
  inflight: [number, number] | Maybe
  ready: [number, number] | Maybe
  recommendation: string
  rules: string
  result: string
  steps: Step[]
}

export interface Candidate {
  name: string
  what: string
  wants: Maybe
  sentence: string
  gpuSeconds: Maybe
  change: Maybe
  p95Wait: Maybe
}

export interface Service extends Common {
  name: string
  state: string
  attention: boolean
  figures: Figures
  begins: number
  series: Columns
  averageOver: Maybe
  averageName: string | null
  forecast: Forecast | null
  quality: Columns
  pods: Pod[]
  starts: Start[]
  decisions: Decision[]
  candidates: Candidate[]
}

/** Points and decisions take the place of all that the page has from their first time on. */
export interface ServiceChange extends Omit<Service, 'series' | 'quality'> {
  points: { series: Columns; quality: Columns }
}
