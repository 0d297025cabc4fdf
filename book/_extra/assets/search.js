// The search: which passages of the book answer a few typed words, the best first.
// `passages.js` holds every section, term and reference as text, written by `book/_ext/passages.py`,
// so that nothing is fetched and a search works from disk. A passage is
// [page, anchor, title, [what people also type], text, weight].
"use strict";

(() => {
  const SHOWN = 30;
  const GREEK = {
    α: "alpha",
    β: "beta",
    γ: "gamma",
    δ: "delta",
    ε: "epsilon",
    θ: "theta",
    λ: "lambda",
    μ: "mu",
    π: "pi",
    ρ: "rho",
    σ: "sigma",
    φ: "phi",
    ψ: "psi",
    ω: "omega",
  };

  /** The words of a text, as they are compared: small letters, Greek ones spelt, 0.18215 one word.
   * @param {string} text */
  function words(text) {
    const plain = text
      .toLowerCase()
      .normalize("NFKD")
      .replace(/\p{M}/gu, "")
      .replace(/[α-ω]/g, (letter) => ` ${GREEK[letter] ?? letter} `);
    return plain.match(/\p{N}+(?:\.\p{N}+)*|\p{L}[\p{L}\p{N}]*/gu) ?? [];
  }

  const ENDING = /^(?:|e|s|es|ed|d|ing|y|ly|al|ion|ions|er|ers|ness)$/;

  /** How far a word of the book answers a typed one: 1 if equal, less for another form of it (blur,
   * blurry), and little for a word that only begins with what was typed.
   * @param {string} typed
   * @param {string} word */
  function likeness(typed, word) {
    if (typed === word) return 1;
    let common = 0;
    while (common < typed.length && typed[common] === word[common]) common += 1;
    const forms = ENDING.test(typed.slice(common)) && ENDING.test(word.slice(common));
    if (common >= 4 && forms) return 0.7;
    return common === typed.length && common >= 3 ? 0.3 : 0;
  }

  /** How often each word stands in a list. @param {string[]} list */
  function counts(list) {
    const found = new Map();
    for (const word of list) found.set(word, (found.get(word) ?? 0) + 1);
    return found;
  }

  /** What a search needs to know of all passages, computed once. @param {any[][]} passages */
  function index(passages) {
    const entries = passages.map(([, , title, also, text, weight], place) => ({
      place,
      weight,
      names: [title, ...also].map((name) => words(name).join(" ")),
      text: ` ${words(text).join(" ")} `,
      inNames: counts(words([title, ...also].join(" "))),
      inText: counts(words(text)),
      length: words(text).length,
    }));
    const holders = new Map(); // a word: the entries that have it
    for (const entry of entries) {
      for (const word of new Set([...entry.inNames.keys(), ...entry.inText.keys()])) {
        holders.set(word, [...(holders.get(word) ?? []), entry]);
      }
    }
    const length = entries.reduce((sum, entry) => sum + entry.length, 0) / entries.length;
    return { entries, holders, length };
  }

  /** What one typed word is worth to each entry: more in a name than in the text, more if rare.
   * @param {string} typed */
  function worths(typed, { entries, holders, length }) {
    const found = new Map();
    for (const [word, having] of holders) {
      const like = likeness(typed, word);
      for (const entry of like ? having : []) {
        const times = entry.inText.get(word) ?? 0;
        const dense = times / (times + 0.5 + entry.length / length);
        const worth = like * Math.max(entry.inNames.has(word) ? 1.5 : 0, dense);
        found.set(entry, Math.max(found.get(entry) ?? 0, worth));
      }
    }
    const rarity = Math.log(1 + entries.length / (1 + found.size));
    return { rarity, found };
  }

  /** The places of the passages that answer a query, the best first.
   * @param {string} query
   * @param {ReturnType<typeof index>} indexed */
  function find(query, indexed) {
    const typed = [...new Set(words(query))];
    const phrase = words(query).join(" ");
    const each = typed.map((word) => worths(word, indexed)).filter(({ found }) => found.size);
    const all = each.reduce((sum, { rarity }) => sum + rarity, 0);
    const scored = [];
    for (const entry of indexed.entries) {
      const met = each.filter(({ found }) => found.has(entry));
      const covered = met.reduce((sum, { rarity }) => sum + rarity, 0) / all;
      if (!met.length || covered < 0.5) continue;
      let score = met.reduce((sum, { rarity, found }) => sum + rarity * found.get(entry), 0);
      if (entry.names.includes(phrase)) score += 5 * all;
      else if (entry.names.some((name) => ` ${name} `.includes(` ${phrase} `))) score += 3 * all;
      if (typed.length > 1) score += Math.min(3, entry.text.split(` ${phrase} `).length - 1) * all;
      scored.push({ place: entry.place, score: score * covered ** 2 * entry.weight });
    }
    return scored.sort((a, b) => b.score - a.score).map(({ place }) => place);
  }

  /** Whether a word of the book is one of the typed words, in whatever form.
   * @param {string} word
   * @param {string[]} typed */
  const isTyped = (word, typed) => typed.some((each) => likeness(each, word) >= 0.7);

  /** The part of a text to show: the sentence with most of the words that the title does not have,
   * or the beginning.
   * @param {string} title
   * @param {string} text
   * @param {string[]} typed */
  function excerpt(title, text, typed) {
    const sought = typed.filter((each) => !words(title).some((word) => isTyped(word, [each])));
    const parts = text.split(/(?<=[.?!:]) +/);
    const met = parts.map((part) => {
      const found = words(part);
      return sought.filter((each) => found.some((word) => isTyped(word, [each]))).length;
    });
    let first = met.indexOf(Math.max(...met));
    let shown = parts[first] ?? "";
    while (shown.length < 140 && ++first < parts.length) shown += ` ${parts[first]}`;
    return shown.length > 280 ? `${shown.slice(0, shown.lastIndexOf(" ", 270))} …` : shown;
  }

  window.VAE_SEARCH = { words, index, find, excerpt };
  if (typeof document === "undefined") return; // the functions alone are tested without a page

  const { pages, passages } = window.VAE_PASSAGES;
  const indexed = index(passages);
  const field = /** @type {HTMLInputElement} */ (
    document.querySelector(".bd-search-container input[name=q]")
  );
  const summary = document.createElement("p");
  summary.className = "search-summary";
  summary.setAttribute("role", "status");
  const list = document.createElement("ul");
  list.className = "search";
  document.getElementById("search-results").append(summary, list);

  /** A text with the typed words marked. @param {string} text @param {string[]} typed */
  function marked(text, typed) {
    const line = document.createElement("p");
    line.className = "context";
    for (const part of text.split(/([\p{L}\p{N}]+(?:\.\p{N}+)*)/u)) {
      const mark = document.createElement("mark");
      mark.textContent = part;
      line.append(words(part).some((word) => isTyped(word, typed)) ? mark : part);
    }
    return line;
  }

  /** One result: where it leads, on which page that is, and what it says. */
  function result(place, typed) {
    const [page, anchor, title, , text] = passages[place];
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = `${page}.html${anchor && `#${anchor}`}`;
    link.textContent = title;
    item.append(link);
    if (pages[page] !== title) item.append(` ${pages[page]}`);
    if (text) item.append(marked(excerpt(title, text, typed), typed));
    return item;
  }

  function search() {
    const typed = words(field.value);
    const found = typed.length ? find(field.value, indexed) : [];
    list.replaceChildren(...found.slice(0, SHOWN).map((place) => result(place, typed)));
    const count = found.length === 1 ? "1 place" : `${found.length} places`;
    const best = found.length > SHOWN ? `, the best ${SHOWN} below` : "";
    summary.textContent = typed.length ? `${count}${best}` : "";
  }

  field.value = new URLSearchParams(location.search).get("q") ?? "";
  field.addEventListener("input", search);
  search();
})();
