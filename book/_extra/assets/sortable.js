// Tables that can be sorted: each heading becomes a button, and `aria-sort` says what is sorted and
// which way. A cell's `data-value` counts where it has one, else its words; numbers go before words.
// Without this script the table is a table, in the order in which it was printed.
"use strict";

(() => {
  /** What a cell is sorted by. @param {HTMLTableRowElement} row @param {number} column */
  function key(row, column) {
    const cell = row.cells[column];
    const value = cell.dataset.value ?? cell.textContent.trim();
    const number = Number(value);
    return { number: value === "" || Number.isNaN(number) ? null : number, words: value };
  }

  /** @param {HTMLTableRowElement} one @param {HTMLTableRowElement} other @param {number} column */
  function compare(one, other, column) {
    const [a, b] = [key(one, column), key(other, column)];
    if (a.number !== null && b.number !== null) return a.number - b.number;
    if (a.number !== null || b.number !== null) return a.number !== null ? -1 : 1;
    return a.words.localeCompare(b.words);
  }

  /** Sort by a column, upwards at first and then the other way. @param {HTMLTableCellElement} head */
  function sort(head) {
    const body = head.closest("table").tBodies[0];
    const way = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", way);
    const sign = way === "ascending" ? 1 : -1;
    const rows = [...body.rows].sort((a, b) => sign * compare(a, b, head.cellIndex));
    body.append(...rows);
  }

  for (const head of document.querySelectorAll("table.sortable thead th")) {
    const cell = /** @type {HTMLTableCellElement} */ (head);
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = cell.textContent;
    button.addEventListener("click", () => sort(cell));
    cell.replaceChildren(button);
  }
})();
