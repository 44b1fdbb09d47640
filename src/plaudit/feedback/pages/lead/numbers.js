/* Numbers, times and rates as people read them. */

export const percent = (share) => (share === null || share === undefined ? "–" : `${Math.round(100 * share)} %`);
export const fixed = (value, digits = 2) => (value === null || value === undefined ? "–" : (Math.round(value * 10 ** digits) / 10 ** digits + 0).toFixed(digits).replace("-", "−"));
export const whole = (value) => value.toLocaleString("en-GB");
export const day = (seconds) => new Date(1000 * seconds).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
export const shortDay = (seconds) => new Date(1000 * seconds).toLocaleDateString("en-GB", { day: "numeric", month: "short" });
export const moment = (seconds) => new Date(1000 * seconds).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
export const interval = (found, show = fixed) => (found ? `${show(found.low)} to ${show(found.high)}` : "");

export function seconds(value) {
  if (value === null) return "–";
  return value < 90 ? `${Math.round(value)} s` : `${(value / 60).toFixed(1)} min`;
}

export function probability(p) {
  if (p === null) return "–";
  return p < 0.001 ? "< 0.001" : p.toFixed(3);
}
