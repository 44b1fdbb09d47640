/* Seconds with the page in view and in use: a rater who went for tea is not reading. */

const IDLE_SECONDS = 60;

export class Clock {
  constructor(before = 0) {
    this.seconds = before;
    this.touched = Date.now();
    this.timer = setInterval(() => {
      const idle = (Date.now() - this.touched) / 1000;
      if (document.visibilityState === "visible" && idle < IDLE_SECONDS) this.seconds += 0.25;
    }, 250);
    this.touch = () => { this.touched = Date.now(); };
    for (const kind of Clock.SIGNS) addEventListener(kind, this.touch, { passive: true, capture: true });
  }

  stop() {
    clearInterval(this.timer);
    for (const kind of Clock.SIGNS) removeEventListener(kind, this.touch, { capture: true });
  }
}
Clock.SIGNS = ["keydown", "pointermove", "pointerdown", "wheel", "scroll"];
