/* Which words two texts do not share: a longest common subsequence of words. */
import { el } from "./dom.js";

const LONGEST = 3000; // words; the table below is of this size squared

const words = (text) => text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? [];

/* Both texts with what only one of them says marked; null where they are too long to compare. */
export function marked(left, right) {
  const [a, b] = [words(left), words(right)];
  if (a.length > LONGEST || b.length > LONGEST) return null;
  const shared = common(a, b);
  return [pieces(a, shared.left, "only-here"), pieces(b, shared.right, "only-here")];
}

function common(a, b) {
  const width = b.length + 1;
  const longest = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      longest[i * width + j] = a[i] === b[j]
        ? longest[(i + 1) * width + j + 1] + 1
        : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  const left = new Set(), right = new Set();
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) { left.add(i); right.add(j); i += 1; j += 1; }
    else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) i += 1;
    else j += 1;
  }
  return { left, right };
}

function pieces(tokens, shared, name) {
  const found = [];
  let run = "", isShared = true;
  const close = () => {
    if (run) found.push(isShared || !run.trim() ? run : el("mark", { class: name }, run));
    run = "";
  };
  tokens.forEach((token, index) => {
    // White space between two marked words is marked with them.
    const now = /^\s+$/.test(token) && !isShared && !shared.has(index + 1) ? false : shared.has(index);
    if (now !== isShared) { close(); isShared = now; }
    run += token;
  });
  close();
  return found;
}
