// Numbers, durations, clock times and money as text. A value that is missing is never shown as a number.
/** @import {Maybe} from '../data' */

const SYMBOLS = /** @type {Record<string, string>} */ ({ EUR: '€', USD: '$', GBP: '£' })

/** What stands for a value that is not known, and the word that a screen reader says. */
export const UNKNOWN = '?'

/** A number with at most so many decimals, and separators for thousands. @param {Maybe} value @param {number} [decimals] */
export function number(value, decimals = 2) {
  return value === null ? UNKNOWN : value.toLocaleString('en', { maximumFractionDigits: decimals })
}

/** Seconds: one decimal below 100. @param {number} s */
export function seconds(s) {
  return s >= 100 ? number(s, 0) : s.toFixed(1)
}

/** `0:19` is minutes and seconds. @param {number} s */
export function minutes(s) {
  const whole = Math.max(0, Math.floor(s))
  const rest = `${pad(Math.floor(whole / 60) % 60)}:${pad(whole % 60)}`
  return whole >= 3600 ? `${Math.floor(whole / 3600)}:${rest}` : rest.replace(/^0(?=\d:)/, '')
}

/** `48 s`, `4 min 12 s`, `2 h 5 min`. @param {number} s */
export function duration(s) {
  const whole = Math.max(0, Math.round(s))
  if (whole < 60) return `${whole} s`
  const [big, small, of, units] = whole < 3600
    ? [Math.floor(whole / 60), whole % 60, 'min', 's']
    : [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, 'h', 'min']
  return small ? `${big} ${of} ${small} ${units}` : `${big} ${of}`
}

/** The time of day in the server's zone. @param {number} t @param {number} offset @param {boolean} [toSeconds] */
export function clock(t, offset, toSeconds = true) {
  return new Date((t + offset) * 1000).toISOString().slice(11, toSeconds ? 19 : 16)
}

/** `14:35:02 CET (UTC+1)`. @param {number} t @param {string} zone @param {number} offset */
export function clockWithZone(t, zone, offset) {
  const hours = Math.floor(Math.abs(offset) / 3600)
  const rest = Math.round((Math.abs(offset) % 3600) / 60)
  const from = offset ? `${offset < 0 ? '−' : '+'}${hours}${rest ? `:${pad(rest)}` : ''}` : ''
  return `${clock(t, offset)} ${zone}${zone === 'UTC' ? '' : ` (UTC${from})`}`
}

/** @param {number} value @param {string | null} currency */
export function money(value, currency) {
  const text = value.toLocaleString('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 })
  return currency ? `${SYMBOLS[currency] ?? `${currency}\u00a0`}${text}` : text
}

/** A change as `−7 %`. @param {number} share */
export function percent(share) {
  const whole = Math.round(share * 100)
  return `${whole < 0 ? '−' : whole > 0 ? '+' : ''}${Math.abs(whole)}\u00a0%`
}

/** @param {number} n @param {string} one @param {string} [many] */
export function plural(n, one, many = `${one}s`) {
  return `${number(n)} ${n === 1 ? one : many}`
}

/** @param {number} n */
function pad(n) {
  return String(n).padStart(2, '0')
}
