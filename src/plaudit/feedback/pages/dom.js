/* Making elements. Text is always text; HTML is taken from the server's renderer alone. */

export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && !name.startsWith("aria")) made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/* What ``rendering.py`` made of a text: it holds no script, no style and nothing that loads. */
export function rendered(html, properties = {}) {
  const made = el("div", { class: "prose", ...properties });
  made.innerHTML = html;
  return made;
}

export const key = (name) => el("kbd", { "aria-hidden": "true" }, name);
export const byId = (id) => document.getElementById(id);

/* Said aloud by screen readers, without moving what is in focus. */
export function announce(text) {
  byId("announcer").textContent = text;
}

/* A click with the mouse leaves the keyboard where it was. */
export function releaseFocusAfterClicks(root) {
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button && event.detail > 0 && !button.closest("dialog")) button.blur();
  });
}
