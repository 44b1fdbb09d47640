/* Which key was meant, and whether it is ours to take: never while someone is typing, never with
   a modifier that belongs to the browser, never over an open dialog. */

const TYPED_INTO = 'textarea, select, [contenteditable], input:not([type="radio"], [type="checkbox"])';
const SLOT = "plaudit.keys";

export const singleKeys = {
  get on() { return localStorage.getItem(SLOT) !== "off"; },
  set on(value) { localStorage.setItem(SLOT, value ? "on" : "off"); },
};

export function listen({ take, submit }) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
    const typing = event.target.closest?.(TYPED_INTO);
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      if (!event.repeat) submit();
      event.preventDefault();
    } else if (typing) {
      if (event.key === "Escape") typing.blur();
    } else if (!event.ctrlKey && !event.metaKey && !event.altKey) {
      takeSingle(event, take, submit);
    }
  });
}

function takeSingle(event, take, submit) {
  const presses = event.target.closest?.("button, a[href], summary");
  if (presses && (event.key === "Enter" || event.key === " ")) return;
  if (event.key === "Enter") {
    if (!event.repeat) submit();
    event.preventDefault();
  } else if (singleKeys.on || event.key.startsWith("Arrow")) {
    const repeats = event.repeat && !event.key.startsWith("Arrow");
    if (!repeats && take(nameOf(event), event)) event.preventDefault();
  }
}

/* On a keyboard of another script, the letter that stands on that key of a Latin one. */
function nameOf(event) {
  if (event.key.length > 1 || event.key.charCodeAt(0) < 128) {
    return event.key.length === 1 ? event.key.toLowerCase() : event.key;
  }
  return event.code.startsWith("Key") ? event.code.slice(3).toLowerCase() : event.key;
}
