// The ledger's filter: a field above the table that leaves the rows with all the words typed.
// Without scripts the whole table is there and no field is.
"use strict";

(() => {
  const table = /** @type {HTMLTableElement} */ (document.querySelector("table.ledger"));
  const rows = [...table.tBodies[0].rows];
  const texts = rows.map((row) => row.textContent.toLowerCase());

  const form = document.createElement("search");
  form.className = "ledger-filter";
  form.innerHTML =
    '<label for="ledger-words">Show rows with</label> ' +
    '<input id="ledger-words" type="search" autocomplete="off" spellcheck="false"' +
    ' placeholder="vae5, kl, scipy, …"> <span role="status"></span>';
  const field = /** @type {HTMLInputElement} */ (form.querySelector("input"));
  const status = form.querySelector("[role=status]");
  (table.closest(".pst-scrollable-table-container") ?? table).before(form);

  function filter() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, place) => {
      row.hidden = !words.every((word) => texts[place].includes(word));
      shown += row.hidden ? 0 : 1;
    });
    status.textContent = `${shown} of ${rows.length} equations`;
  }

  field.addEventListener("input", filter);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      field.value = "";
      filter();
    }
  });
  // A link to a row shows it, whatever is typed.
  window.addEventListener("hashchange", () => {
    const row = document.getElementById(location.hash.slice(1));
    if (row?.hidden) {
      field.value = "";
      filter();
      row.scrollIntoView();
    }
  });
  filter();
})();
