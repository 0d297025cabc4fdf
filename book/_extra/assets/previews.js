// Previews: what a link to a term, an equation, a figure, a theorem or a cited work leads to, shown
// beside the link while the pointer rests on it or the keyboard's focus is on it (WCAG 1.4.13: the
// pointer may move onto the preview, Escape closes it, and it stays as long as it is asked for).
// A tap follows the link. The markup of all previews is one script, loaded when a first one is due.
"use strict";

(() => {
  const REST = 250; // milliseconds that a pointer rests before a preview opens, or closes
  const WIDEST = 448; // pixels
  const EDGE = 8; // pixels between a preview and the edge of the window
  const HOME = new URL(document.documentElement.dataset.content_root, location.href).href;
  const LINKS = "a.reference.internal[href*='#'], .bibtex-citation a[href*='#']";
  const article = /** @type {HTMLElement} */ (document.querySelector("article.bd-article"));

  const header = document.querySelector(".bd-header-article"); // it stays in sight
  const preview = document.createElement("div");
  preview.className = "preview";
  preview.id = "preview";
  preview.setAttribute("role", "tooltip");
  preview.hidden = true;
  article.append(preview);

  /** @type {HTMLAnchorElement} */
  let shown = null; // the link whose preview is open
  let timer = 0;
  /** @type {Promise<unknown>} */
  let loaded = null;

  /** Load a script of the book once. @param {string} path */
  function load(path) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = HOME + path;
      script.onload = resolve;
      script.onerror = reject;
      document.head.append(script);
    });
  }

  /** The markup behind a link; nothing where it has no preview, or lies in a fold that is shut.
   * @param {HTMLAnchorElement} link */
  async function markup(link) {
    loaded ??= load("assets/previews-shown.js");
    await loaded;
    const here = link.pathname === location.pathname;
    const target = here ? document.getElementById(decodeURIComponent(link.hash.slice(1))) : null;
    if (target?.closest("details:not([open])")) return "";
    const address = link.href.startsWith(HOME) ? link.href.slice(HOME.length) : "";
    return window.VAE_PREVIEWS[decodeURIComponent(address)] ?? "";
  }

  /** Set the formulas of the preview; a page without formulas of its own has no MathJax yet. */
  async function typeset() {
    if (!preview.querySelector(".math")) return;
    if (!window.MathJax?.startup?.promise) await load("mathjax/tex-svg.js");
    await window.MathJax.startup.promise;
    await window.MathJax.typesetPromise([preview]);
    for (const found of preview.querySelectorAll("[tabindex]")) found.removeAttribute("tabindex");
  }

  /** Put the preview below its link, or above where there is more room, and inside the window. */
  function place() {
    const link = shown.getClientRects()[0];
    const around = article.getBoundingClientRect();
    const window = document.documentElement.clientWidth;
    const width = Math.min(WIDEST, window - 2 * EDGE);
    const below = innerHeight - link.bottom - EDGE;
    const above = link.top - EDGE - (header?.getBoundingClientRect().bottom ?? 0);
    preview.style.width = `${width}px`;
    preview.style.maxHeight = "";
    const under = below >= above || below >= preview.offsetHeight;
    preview.style.maxHeight = `${under ? below : above}px`;
    preview.classList.toggle("cut", preview.scrollHeight > preview.clientHeight + 1);
    const left = Math.min(Math.max(EDGE, link.left), window - width - EDGE);
    const top = under ? link.bottom : link.top - preview.offsetHeight;
    preview.style.left = `${left - around.left}px`;
    preview.style.top = `${top - around.top}px`;
  }

  function close() {
    clearTimeout(timer);
    if (!shown) return;
    shown.removeAttribute("aria-describedby");
    window.MathJax?.typesetClear?.([preview]);
    preview.hidden = true;
    preview.replaceChildren();
    shown = null;
  }

  /** @param {HTMLAnchorElement} link */
  async function open(link) {
    const found = await markup(link);
    if (!found || shown === link || !(link.matches(":hover") || link === document.activeElement))
      return;
    close();
    shown = link;
    preview.innerHTML = found;
    for (const image of preview.querySelectorAll("img")) image.src = HOME + image.dataset.source;
    for (const image of preview.querySelectorAll("img")) image.addEventListener("load", follow);
    preview.hidden = false;
    link.setAttribute("aria-describedby", preview.id);
    place();
    await typeset();
    follow();
  }

  /** Place the preview again after its content has grown or the page has moved. */
  function follow() {
    if (shown) place();
  }

  /** The link of the text under a pointer or with the focus. @param {EventTarget} target */
  function linkAt(target) {
    const link = target instanceof Element && target.closest(LINKS);
    return link instanceof HTMLAnchorElement && article.contains(link) ? link : null;
  }

  article.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse") return;
    const link = linkAt(event.target);
    clearTimeout(timer);
    if (preview.contains(/** @type {Node} */ (event.target))) return;
    if (link && link !== shown) timer = setTimeout(open, REST, link);
    else if (!link && shown && shown !== document.activeElement) timer = setTimeout(close, REST);
  });
  article.addEventListener("pointerleave", () => {
    clearTimeout(timer);
    if (shown && shown !== document.activeElement) timer = setTimeout(close, REST);
  });
  article.addEventListener("focusin", (event) => {
    const link = linkAt(event.target);
    if (link?.matches(":focus-visible")) open(link);
  });
  article.addEventListener("focusout", (event) => {
    if (event.target === shown && !preview.matches(":hover")) close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && shown) close();
  });
  addEventListener("scroll", follow, { passive: true });
  addEventListener("resize", follow);
})();
