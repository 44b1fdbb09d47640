/* A table that is sorted by its headings, and becomes cards where there is no room. */
import { el } from "../dom.js";

/* columns: [{title, cell(row) -> node or text, by(row) -> number or text, kind: "who" | "free"}] */
export function table(caption, columns, rows, { rowClass = () => "", sortable = true } = {}) {
  let sortedBy = null, falling = true;
  const body = el("tbody");
  const heads = columns.map((column) => {
    const head = el("th", { scope: "col" });
    head.append(sortable && column.by ? el("button", { type: "button", onclick: () => sort(column, head) }, column.title) : column.title);
    return head;
  });
  fill(rows);
  return el("div", { class: "scroll" }, el("table", { class: "stack" },
    el("caption", { class: "visually-hidden" }, caption), el("thead", {}, el("tr", {}, heads)), body));

  function fill(list) {
    body.replaceChildren(...list.map((row) => el("tr", { class: rowClass(row) },
      columns.map((column) => el("td", { class: column.kind, "data-label": column.title }, column.cell(row))))));
  }

  function sort(column, head) {
    falling = sortedBy === column ? !falling : true;
    sortedBy = column;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    fill([...rows].sort((a, b) => compared(column.by(a), column.by(b)) * (falling ? -1 : 1)));
  }
}

function compared(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return -1;
  if (b === null || b === undefined) return 1;
  return a < b ? -1 : 1;
}

/* Name over id: the name may be missing, and two may share one. */
export const who = (name, id) => [el("strong", {}, name || "without a name"), el("code", {}, id)];
