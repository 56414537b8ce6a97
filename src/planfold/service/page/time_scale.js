// Where a time is drawn. Times in which nothing runs take little room, however long they are.

const GAP = 34; // pixels of a gap
const IDLE_SHARE = 0.25; // of the busy time; a longer pause is shortened
const TICK = 84;
const NICE = [
  0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200,
  14400, 21600, 43200, 86400,
];

/**
 * @param {[number, number][]} busy times in which something runs
 * @param {number} start @param {number} end @param {number} width
 */
export function timeScale(busy, start, end, width) {
  const idle = [];
  let cursor = start;
  for (const [from, to] of [...busy].sort((a, b) => a[0] - b[0])) {
    if (from > cursor) idle.push([cursor, Math.min(from, end)]);
    cursor = Math.max(cursor, to);
  }
  if (cursor < end) idle.push([cursor, end]);
  const long = (spans) => spans.reduce((sum, [from, to]) => sum + to - from, 0);
  const least = (end - start - long(idle)) * IDLE_SHARE;
  const short = idle.filter(([from, to]) => to - from > Math.max(least, 0.5));
  const shown = end - start - long(short);
  const room = Math.max(width - GAP * short.length, width / 4);
  const rate = shown > 0 ? room / shown : 0;
  const times = [start];
  const places = [0];
  const gaps = [];
  const add = (time, pixels) => {
    times.push(time);
    places.push(places[places.length - 1] + pixels);
  };
  for (const [from, to] of short) {
    add(from, rate * (from - times[times.length - 1]));
    gaps.push({ left: places[places.length - 1], width: GAP, seconds: to - from });
    add(to, GAP);
  }
  add(end, rate * (end - times[times.length - 1]));

  /** @param {number} time */
  const at = (time) => {
    let [low, high] = [1, times.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[middle] >= time) high = middle;
      else low = middle + 1;
    }
    const [from, to] = [times[low - 1], times[low]];
    const share = to > from ? Math.min(Math.max((time - from) / (to - from), 0), 1) : 0;
    return places[low - 1] + share * (places[low] - places[low - 1]);
  };
  return { at, gaps, ticks: () => ticks(start, end, rate, at, gaps), width: places[places.length - 1] };
}

function ticks(start, end, rate, at, gaps) {
  if (!rate) return [];
  const step = NICE.find((each) => each * rate >= TICK) || 86400 * Math.ceil(TICK / (86400 * rate));
  const found = [];
  let last = -TICK;
  for (let number = 0; number * step <= end - start && number < 2000; number++) {
    const place = at(start + number * step);
    const free = !gaps.some((gap) => place > gap.left - 46 && place < gap.left + gap.width + 4);
    if (!free || place - last < TICK * 0.7) continue;
    found.push({ place, seconds: number * step });
    last = place;
  }
  return found;
}
