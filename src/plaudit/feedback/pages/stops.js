/* The places a rater steps through with the up and down keys: each takes the keys that answer it.
   Where the focus is and where the keys go are one thing, so Tab and the arrows agree. */

export class Stops {
  constructor(stops) {
    this.stops = stops;
    this.at = 0;
    stops.forEach((stop, index) => {
      stop.element.classList.add("stop");
      stop.element.addEventListener("focusin", () => this.mark(index));
    });
    if (stops.length) this.mark(0);
  }

  get current() {
    return this.stops[this.at];
  }

  mark(index) {
    this.at = index;
    const several = this.stops.length > 1;
    this.stops.forEach((stop, i) => stop.element.classList.toggle("current", several && i === index));
  }

  move(by) {
    let next = this.at + by;
    while (this.stops[next]?.isOff?.()) next += by;
    if (!this.stops[next]) return;
    this.mark(next);
    this.current.focus();
    this.current.element.scrollIntoView({ block: "nearest" });
  }

  /* Whether the key meant something here. */
  take(name, event) {
    if (!this.current) return false;
    if (this.current.take(name, event)) {
      if (this.current.steppedBy?.(name)) this.move(1);
      return true;
    }
    if (name === "ArrowUp" || name === "ArrowDown") {
      this.move(name === "ArrowUp" ? -1 : 1);
      return true;
    }
    return false;
  }
}
