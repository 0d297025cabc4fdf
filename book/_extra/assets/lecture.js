/* Lecture mode: a chapter shown step by step, in letters that the last row can read.

   A button in the header, or Alt+L, turns it on and off. One step is shown at a time: a section, or
   the part of a long one that begins at a subsection, at a question to predict, or at an exercise.
   Folds stay as they are, so an answer stays shut until it is opened.
     arrow right, arrow left    next and previous step
     Page Down, Page Up         one screen further, and at its end the next step: what a remote sends
     Escape                     lets go of a slider or a pad, then leaves the mode
   The address keeps mode and step, as in 04-bounds.html?view=lecture#slide-q. It opens from disk, and the
   setting of a live figure stands in it as always: ?view=lecture#fig-bounds-live&mean=1. No key is a plain
   letter, because people who speak to their computer would press letters without knowing (WCAG 2.1.4).

   The page loads this script before its text, so that a lecture opens as one; see lecture.css. */

/** @typedef {{id: string, title: string, blocks: Element[]}} Step  id: where the address leads */
(() => {
  "use strict";
  const page = document.documentElement;
  const LED_TO = 700; // characters: fewer than these stay on the screen with the question they lead to
  const PICTURE = 400; // what a picture or a formula of its own counts for among them
  // What uses the keys itself.
  const CONTROLS =
    "input, select, textarea, [contenteditable], [role=application], canvas[tabindex]";
  const OVERLAP = 60; // pixels that stay in sight when a key moves the page by a screen
  const GAP = 12; // pixels between the header and what a key has moved to the top

  const isAsked = () => new URLSearchParams(location.search).get("view") === "lecture";
  if (isAsked()) page.classList.add("lecture", "lecture-waiting");
  document.addEventListener("DOMContentLoaded", () => {
    page.classList.remove("lecture-waiting");
    window.VAE_LECTURE = createLecture(document.querySelector("article > section"));
  });

  /* What stands in a section and in the sections below it, in the order of the page.
     @param {Element} section
     @returns {Element[]} */
  function blocksOf(section) {
    return [...section.children].flatMap((child) =>
      child.tagName === "SECTION" ? blocksOf(child) : [child],
    );
  }

  const isHeading = (block) => /^H[1-6]$/.test(block.tagName);

  /* What a step that begins with this block adds to the name of its section; null where none can. */
  function part(block) {
    if (isHeading(block)) return "";
    if (block.id.startsWith("predict-")) return "predict";
    if (block.classList.contains("exercise"))
      return block.querySelector("strong").textContent.replace(".", "");
    return null;
  }

  /* How much stands in some blocks besides their headings, in characters. */
  function amount(blocks) {
    let sum = 0;
    for (const block of blocks.filter((each) => !isHeading(each))) {
      const pictures = block.querySelectorAll("img").length + block.matches("div.math, .numbered");
      sum += block.textContent.trim().length + PICTURE * pictures;
    }
    return sum;
  }

  /**
   * @param {Element} article
   * @returns {Step[]}
   */
  function stepsOf(article) {
    /** @type {Step[]} */
    const steps = [];
    for (const block of blocksOf(article)) {
      const last = steps.at(-1);
      const name = part(block);
      const enough = last && amount(last.blocks) > (name === "predict" ? LED_TO : 0);
      if (name !== null && (!last || enough || block.tagName === "H2")) {
        const heading = block.parentElement.querySelector(":scope > :is(h1, h2, h3, h4)");
        const words = heading.firstChild.textContent.trim();
        steps.push({
          id: isHeading(block) ? block.parentElement.id : block.id,
          title: name ? `${words} · ${name}` : words,
          blocks: [block],
        });
      } else {
        last.blocks.push(block);
      }
    }
    return steps;
  }

  function createLecture(article) {
    const steps = stepsOf(article);
    const button = document.querySelector(".lecture-button");
    const { bar, previous, place, next, status } = createBar(steps);
    let current = 0;

    /* Shows a step from its beginning, or from its end; nothing before the first or after the last. */
    function show(wanted, end = false) {
      if (wanted < 0 || wanted >= steps.length) return;
      current = wanted;
      steps.forEach(({ blocks }, number) => {
        for (const block of blocks) block.classList.toggle("lecture-out", number !== current);
      });
      const { blocks, title } = steps[current];
      if (isHeading(blocks[0])) delete article.dataset.step;
      else article.dataset.step = title; // without a heading the room sees no subject
      place.value = String(current);
      previous.setAttribute("aria-disabled", String(current === 0));
      next.setAttribute("aria-disabled", String(current === steps.length - 1));
      status.textContent = `${current + 1} of ${steps.length}: ${title}`;
      scrollTo(0, end ? page.scrollHeight : 0);
    }

    function go(wanted, end = false) {
      show(wanted, end);
      history.replaceState(history.state, "", `#${steps[current].id}`);
    }

    /* The step that holds what the address names, and that element; the first step if it names none. */
    function asked() {
      const [id] = location.hash.slice(1).split("&");
      const target = document.getElementById(id);
      const found = steps.findIndex(
        (step) => step.id === id || step.blocks.some((block) => target && block.contains(target)),
      );
      return { target, number: Math.max(found, 0) };
    }

    function arrive() {
      const { target, number } = asked();
      show(number);
      if (target && steps[number].id !== target.id) target.scrollIntoView();
    }

    /* The step at which the reader was: what stands a third of the way down the window. */
    function read() {
      const reaches = (block) => block.getBoundingClientRect().bottom > innerHeight / 3;
      return Math.max(
        steps.findIndex(({ blocks }) => blocks.some(reaches)),
        0,
      );
    }

    function setMode(on) {
      page.classList.toggle("lecture", on);
      button.setAttribute("aria-pressed", String(on));
      window.dispatchEvent(new Event("resize")); // for what is drawn to another measure now
    }

    function enter() {
      const wanted = read();
      setMode(true);
      show(wanted);
      history.replaceState(history.state, "", `${withMode(true)}#${steps[current].id}`);
    }

    function leave() {
      setMode(false);
      history.replaceState(history.state, "", `${withMode(false)}#${steps[current].id}`);
      steps[current].blocks[0].scrollIntoView();
      status.textContent = "The whole chapter";
    }

    const toggle = () => (page.classList.contains("lecture") ? leave() : enter());

    /* A screen down or up; at the end of the step the next one, at its beginning the one before. */
    function turn(direction) {
      const end = steps[current].blocks.at(-1).getBoundingClientRect().bottom;
      const atEnd = direction > 0 ? end <= innerHeight : scrollY < 2;
      if (atEnd) go(current + direction, direction < 0);
      else scrollBy({ top: direction > 0 ? further() : -screen(), behavior: "instant" });
    }

    const head = () => bar.parentElement.getBoundingClientRect().bottom + GAP;
    const screen = () => innerHeight - head() - OVERLAP;

    /* How far to the first thing that the window cuts off, so that it is seen whole: a figure, say. */
    function further() {
      const cut = steps[current].blocks
        .flatMap((block) => (block.matches("details[open]") ? [...block.children] : [block]))
        .map((block) => block.getBoundingClientRect())
        .find(({ top, bottom }) => bottom > innerHeight && top > head() + 2);
      return Math.min(cut ? cut.top - head() : screen(), screen());
    }

    const keys = {
      ArrowRight: () => go(current + 1),
      ArrowLeft: () => go(current - 1),
      PageDown: () => turn(1),
      PageUp: () => turn(-1),
      Escape: leave,
    };

    function pressed(event) {
      if (event.code === "KeyL" && event.altKey && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        toggle();
        return;
      }
      const modified = event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
      const act = keys[event.key];
      const off = !page.classList.contains("lecture") || document.querySelector("dialog[open]");
      const taken = event.defaultPrevented && event.key !== "Escape"; // the theme takes every Escape
      if (!act || modified || off || taken) return;
      if (event.target.closest(CONTROLS)) {
        if (event.key === "Escape") event.target.blur();
      } else if (!event.key.startsWith("Arrow") || !scrollsSideways(event.target)) {
        event.preventDefault();
        act();
      }
    }

    previous.addEventListener("click", () => go(current - 1));
    next.addEventListener("click", () => go(current + 1));
    place.addEventListener("change", () => go(Number(place.value)));
    window.addEventListener("keydown", pressed);
    window.addEventListener("hashchange", () => page.classList.contains("lecture") && arrive());
    setMode(isAsked());
    if (isAsked()) arrive();
    return { toggle, steps };
  }

  /* Whether an element that has the focus, such as a long line of code, uses the arrow keys. */
  function scrollsSideways(element) {
    return element !== document.body && element.scrollWidth > element.clientWidth + 1;
  }

  /* The address of this page with the mode or without, and without what follows a #. */
  function withMode(on) {
    const asked = new URLSearchParams(location.search);
    if (on) asked.set("view", "lecture");
    else asked.delete("view");
    return `${location.pathname}${asked.size > 0 ? "?" : ""}${asked}`;
  }

  /** @param {Step[]} steps */
  function createBar(steps) {
    const bar = document.createElement("nav");
    bar.className = "lecture-bar";
    bar.setAttribute("aria-label", "Lecture");
    bar.innerHTML =
      '<button type="button" title="Previous step (arrow left)">‹ <span>Previous</span></button>' +
      '<select aria-label="Step"></select>' +
      '<button type="button" title="Next step (arrow right)"><span>Next</span> ›</button>' +
      '<span role="status"></span>';
    const [previous, next] = bar.querySelectorAll("button");
    const place = bar.querySelector("select");
    steps.forEach(({ title }, number) => {
      place.append(new Option(`${number + 1} of ${steps.length} · ${title}`, String(number)));
    });
    document.querySelector(".header-article-items__end").before(bar);
    const status = bar.querySelector("[role=status]");
    return { bar, previous, place, next, status };
  }
})();
