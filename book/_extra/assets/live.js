/* The engine of the live figures: plain scripts that also work from a disk, with no server.

   A page says ```{live} latent-pad```: a figure with its static picture and caption. A figure's own
   file, assets/latent-pad.js, brings it to life:

       VAE_LIVE.figure("latent-pad", (stage) => {
         const range = { minimum: -4, maximum: 4, step: 0.05, value: 0 };
         const first = stage.slider({ name: "z1", label: "z₁", ...range });
         const chart = stage.chart({ width: 360, aspect: 1, x: {…}, y: {…} });
         stage.update(() => {            // now, after every change of a control, after a resize
           chart.clear(); …              // draw everything from the controls' values
           stage.values = { z: [first.value] };   // for tests: VAE_LIVE.stages[figure id].values
           return "z₁ is 0.50.";         // one sentence, for the screen reader
         });
       });

   Parts stand in the order in which they are made; each goes into the newest column.
     stage.column({pinned, wide})          a new column; columns stand side by side where they fit.
                                           On a phone the pinned column, of small images and
                                           readouts, comes first and stays in sight under the hand.
                                           A wide one has the first row for itself
     stage.row(parts), stage.stack(parts)  what the function `parts` makes stands in one row, or in one
                                           pile; a pile in a row is a picture with its caption
     stage.fold({name, label}, parts)      what the function makes stands folded away below its label
     stage.place()                         the newest column, for an element of the figure's own
     stage.canvas({width, aspect})         {element, context, width, height, describe(words), at(event)}:
                                           at most width pixels wide, height = aspect · width, any pixel
                                           ratio; {width, height} has one height at any width. Lecture
                                           mode draws all of it larger, so ask `at`, [px, py], where
                                           on the canvas the pointer of an event is
     stage.chart({width, aspect, x, y})    a canvas with axes: see live-chart.js; or with height
     stage.image({width, rows, columns})   {show(pixels), describe(words)}: 0 is white, 1 is black
     stage.slider({name, label, minimum, maximum, step, value, home, decimals, shows})
                                           {value, set(value)}: name stands in the address; Shift
                                           with an arrow key makes ten steps; home is where
                                           the Home key of a pad puts it, value if not given; shows
                                           turns the value into the number that the reader sees;
                                           mark(value) draws a line at a value worth knowing, and
                                           none where the slider does not reach
     stage.choice({name, label, options, value})   radio buttons, options {key: words}:
                                           {value, set(key)}
     stage.menu({name, label, options, value})     the same as a drop-down list
     stage.number({name, label, minimum, maximum, value})   a field for a number that is typed:
                                           {element, value, set(value)}; what is no number between
                                           the limits is marked, and the value stays
     stage.button(words, action)           {element}: calls action, then updates
     stage.readout(label)                  {element, show(words)}: a line of text, label and value
     stage.pad(chart, horizontal, vertical, tap)   drag, touch and arrow keys on the chart move the two
                                           sliders (one may be null), Shift ten steps; where
                                           vertical has a function `at`, a drag to the height y of
                                           the chart sets it to at(y), not to y; tap, if given,
                                           is called after a click that dragged nothing, and on Enter
     stage.update(function)                see above; it returns what is announced, politely
     stage.animate(step)                   calls step and updates, a frame at a time, until step
                                           returns false; at once where motion is to be reduced
     stage.animateOnceSeen(picture, step)  the same when half of the picture first comes into view;
                                           nobody asked for it, so nothing is announced
     stage.work(slice)                     calls slice once a frame, and draws, until it returns
                                           false; then updates. Each slice should take a few
                                           milliseconds. Where motion is to be reduced it works as
                                           fast, and draws once a second
     stage.stop()                          ends an animation, or work
     stage.changed()                       updates and announces, after what no control of the
                                           engine has heard
     stage.keep(name, read, write)         what else of a setting stands in the address: read gives
                                           a text, write takes one, which anybody may have typed
   The setting of the figure that was moved last stands in the page's address, as in
   #fig-latent-pad&z1=1.5&z2=-0.5, but for what is as it was at the start: an address sent to a friend,
   or a link in the text, opens the page at this figure in this setting.
   A canvas needs words: call describe in every update. If anything throws, the error goes to the
   console and the static picture comes back. Numbers: see live-numbers.js. `make lint` checks the
   types below, in the figures as well. */

/**
 * @typedef {{element: HTMLCanvasElement, describe: (words: string) => void}} Picture
 * @typedef {Picture & {context: CanvasRenderingContext2D, width: number, height: number,
 *   at: (event: MouseEvent) => number[]}} Canvas
 * @typedef {Picture & {show: (pixels: number[] | Float64Array) => void}} PixelImage
 * @typedef {{step: number, home: number, value: number, set: (wanted: number) => void,
 *   at?: (height: number) => number}} Movable  what a pad moves: a slider, or LIVE.peak of one
 * @typedef {Movable & {element: HTMLInputElement, mark: (value: number) => void}} Slider
 * @typedef {{value: string, set: (key: string) => void}} Choice
 * @typedef {{range: number[], label: string, ticks?: number[], words?: (tick: number) => string,
 *   room?: number}} Axis
 * @typedef {{width: number, aspect?: number, height?: number}} Size
 * @typedef {{name: string, label: string, minimum: number, maximum: number, step: number,
 *   value: number, home?: number, decimals?: number, shows?: (value: number) => number}} SliderSettings
 * @typedef {{name: string, label: string, options: Record<string, string | number>,
 *   value: string}} ChoiceSettings
 * @typedef {{name: string, label: string, minimum: number, maximum: number,
 *   value: number}} NumberSettings
 * @typedef {{element: HTMLElement, value: number, set: (wanted: number) => void}} NumberField
 * @typedef {{column: (kind?: {pinned?: boolean, wide?: boolean}) => void,
 *   place: () => HTMLElement,
 *   canvas: (size: Size) => Canvas,
 *   chart: (size: Size & {x: Axis, y: Axis}) => Chart,
 *   image: (size: {width: number, rows: number, columns: number}) => PixelImage,
 *   slider: (settings: SliderSettings) => Slider,
 *   choice: (settings: ChoiceSettings) => Choice,
 *   menu: (settings: ChoiceSettings) => Choice,
 *   row: (parts: () => void) => void, stack: (parts: () => void) => void,
 *   fold: (settings: {name: string, label: string}, parts: () => void) => void,
 *   number: (settings: NumberSettings) => NumberField,
 *   button: (words: string, action: () => void) => {element: HTMLButtonElement},
 *   readout: (label: string) => {element: HTMLElement, show: (words: string) => void},
 *   pad: (drawn: Chart, horizontal: Movable | null, vertical: Movable | null,
 *     tap?: () => void) => void,
 *   update: (action: () => string) => void,
 *   animate: (step: () => boolean) => void,
 *   work: (slice: () => boolean) => void,
 *   animateOnceSeen: (picture: Picture, step: () => boolean) => void,
 *   stop: () => void,
 *   changed: () => void,
 *   keep: (name: string, read: () => string, write: (text: string) => void) => void,
 *   values: Record<string, any>}} Stage
 * @typedef {{root: Element, redraw: () => void, arrive: () => void,
 *   guard: (action: Function) => (...values: any[]) => any}} Inside  what the engine alone uses
 */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const QUIET = 500; // milliseconds without a change before it is announced
  const STILL = 5; // pixels: a pointer that moved by less has dragged nothing
  const CALM = 1000; // milliseconds between two pictures of work where motion is to be reduced
  let groups = 0; // radio buttons of one choice share a name
  LIVE.stages = {};

  LIVE.reducedMotion = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

  /* How much larger than on the page everything is drawn: lecture mode says it to the style sheet. */
  const zoomOf = (element) =>
    Number.parseFloat(getComputedStyle(element).getPropertyValue("--live-zoom")) || 1;

  function make(tag, parent, properties) {
    const element = Object.assign(document.createElement(tag), properties);
    parent.append(element);
    return element;
  }

  /**
   * Brings every figure of this name to life; its script stands after them on the page.
   * @param {string} name
   * @param {(stage: Stage) => void} build
   */
  LIVE.figure = (name, build) => {
    for (const figure of document.querySelectorAll(`figure.live-${name}`)) {
      const stage = createStage(name, figure);
      stage.guard(() => {
        build(stage);
        figure.classList.add("is-live"); // the style sheet now hides the static picture
        LIVE.stages[figure.id] = stage;
        stage.redraw();
        stage.arrive();
        window.addEventListener("hashchange", stage.arrive);
      })();
    }
  };

  /**
   * @param {string} name
   * @param {Element} figure
   * @returns {Stage & Inside}
   */
  function createStage(name, figure) {
    const root = make("div", figure, { className: "live-stage" });
    figure.prepend(root);
    const status = make("p", root, { className: "live-status" });
    status.setAttribute("role", "status");
    let column = null;
    const kept = new Map(); // name → what reads and writes a part of the setting, and its start
    let update = () => "";
    let timer = 0;
    let frame = 0;

    /* The same function; if it throws, the static picture comes back. */
    function guard(action) {
      return (...values) => {
        try {
          return action(...values);
        } catch (error) {
          stop();
          clearTimeout(timer);
          resized.disconnect();
          window.removeEventListener("hashchange", arrive);
          window.removeEventListener("resize", refit);
          root.remove();
          figure.classList.remove("is-live");
          delete LIVE.stages[figure.id];
          console.error(`The live figure ${name} stopped.`, error);
        }
      };
    }
    const redraw = () => update();
    const changed = guard(() => {
      const words = update();
      clearTimeout(timer);
      timer = setTimeout(() => {
        status.textContent = words;
        history.replaceState(history.state, "", `#${address()}`);
      }, QUIET);
    });

    function keep(name, read, write) {
      kept.set(name, { read, write, start: read() });
    }

    /* The figure and its setting, as they stand in the page's address. */
    function address() {
      const moved = [...kept].filter(([, { read, start }]) => read() !== start);
      const parts = moved.map(([part, { read }]) => `${part}=${encodeURIComponent(read())}`);
      return [figure.id, ...parts].join("&");
    }

    /* Takes the setting that the page's address asks of this figure, and shows the figure. */
    const arrive = guard(() => {
      const [id, ...parts] = location.hash.slice(1).split("&");
      if (id !== figure.id || parts.length === 0) return; // the browser itself finds a bare name
      const wanted = new URLSearchParams(parts.join("&"));
      for (const [part, { write, start }] of kept) write(wanted.get(part) ?? start);
      redraw();
      figure.scrollIntoView(); // from its top, where what reacts stands
    });

    const canvases = new Map(); // element → what fits it to its place
    const resized = new ResizeObserver(
      guard((entries) => {
        for (const entry of entries) canvases.get(entry.target)();
        redraw();
      }),
    );
    /* Another screen may have other pixels, and lecture mode another zoom, at the same width. */
    const refit = guard(() => {
      for (const fit of canvases.values()) fit();
      redraw();
    });
    window.addEventListener("resize", refit);

    function startColumn({ pinned = false, wide = false } = {}) {
      const kinds = ["live-column", pinned && "live-pinned", wide && "live-wide"];
      column = make("div", root, { className: kinds.filter(Boolean).join(" ") });
    }
    function place() {
      if (!column) startColumn();
      return column;
    }

    /** @param {"row" | "stack"} kind */
    const group = (kind) => (parts) => {
      const outer = place();
      column = make("div", outer, { className: `live-${kind}` });
      parts();
      column = outer;
    };

    function fold({ name, label }, parts) {
      const outer = place();
      const folded = make("details", outer, { className: "live-fold" });
      make("summary", folded, { textContent: label });
      keep(
        name,
        () => (folded.open ? "open" : ""),
        (text) => (folded.open = text === "open"),
      );
      folded.addEventListener("toggle", changed);
      column = make("div", folded, { className: "live-stack" });
      parts();
      column = outer;
    }

    /**
     * @param {number} width
     * @returns {Picture}
     */
    function picture(width) {
      const element = make("canvas", place());
      element.style.maxWidth = `calc(${width}px * var(--live-zoom, 1))`;
      element.setAttribute("role", "img");
      return { element, describe: (words) => element.setAttribute("aria-label", words) };
    }

    /**
     * @param {Size} size
     * @returns {Canvas}
     */
    function canvas({ width, aspect, height }) {
      const made = /** @type {Canvas} */ (picture(width));
      if (height) made.element.style.height = `calc(${height}px * var(--live-zoom, 1))`;
      else made.element.style.aspectRatio = String(1 / aspect);
      made.context = made.element.getContext("2d");
      function fit() {
        const zoom = zoomOf(made.element);
        made.width = (made.element.clientWidth || width * zoom) / zoom;
        made.height = height || made.width * aspect;
        const ratio = zoom * window.devicePixelRatio; // pixels of the screen
        made.element.width = Math.round(made.width * ratio);
        made.element.height = Math.round(made.height * ratio);
        made.context.setTransform(ratio, 0, 0, ratio, 0, 0);
      }
      made.at = ({ clientX, clientY }) => {
        const { left, top } = made.element.getBoundingClientRect();
        const zoom = zoomOf(made.element);
        return [(clientX - left) / zoom, (clientY - top) / zoom];
      };
      fit();
      canvases.set(made.element, fit);
      resized.observe(made.element);
      return made;
    }

    /** @param {Size & {x: Axis, y: Axis}} axes */
    const chart = ({ x, y, ...size }) => LIVE.chart(canvas(size), { x, y });

    /**
     * @param {{width: number, rows: number, columns: number}} size
     * @returns {PixelImage}
     */
    function image({ width, rows, columns }) {
      const made = /** @type {PixelImage} */ (picture(width));
      made.element.className = "live-image"; // one pixel an entry, magnified by the style sheet
      made.element.style.aspectRatio = `${columns} / ${rows}`;
      Object.assign(made.element, { width: columns, height: rows });
      const context = made.element.getContext("2d");
      made.show = (pixels) => {
        const grey = context.createImageData(columns, rows);
        pixels.forEach((ink, i) => {
          const level = 255 * (1 - ink); // clamped to 0 … 255 when stored
          grey.data.set([level, level, level, 255], 4 * i);
        });
        context.putImageData(grey, 0, 0);
      };
      return made;
    }

    /**
     * @param {SliderSettings} settings
     * @returns {Slider}
     */
    function slider({ name, label, minimum, maximum, step, value, ...options }) {
      const { home = value, decimals = 2, shows = (number) => number } = options;
      const line = make("label", place(), { className: "live-slider" });
      make("span", line, { textContent: label });
      const range = { type: "range", min: minimum, max: maximum, step, value };
      const input = make("input", line, range);
      const shown = make("span", line, { className: "live-value" });
      shown.setAttribute("aria-hidden", "true"); // the slider itself says its value
      const made = /** @type {Slider} */ ({ element: input, step, home, value });
      made.set = (wanted) => {
        input.value = wanted; // the browser keeps it in range and on a step
        made.value = Number(input.value);
        shown.textContent = LIVE.number(shows(made.value), decimals);
        input.setAttribute("aria-valuetext", shown.textContent);
      };
      made.set(value);
      made.mark = (at) => {
        const share = (at - minimum) / (maximum - minimum);
        input.classList.toggle("live-marked", share >= 0 && share <= 1);
        input.style.setProperty("--mark", String(share));
      };
      keep(
        name,
        () => input.value,
        (text) =>
          made.set(Number.isFinite(Number.parseFloat(text)) ? Number.parseFloat(text) : value),
      );
      input.addEventListener("input", () => {
        made.set(input.value);
        changed();
      });
      input.addEventListener("keydown", (event) => {
        const [across, up] = arrow(event);
        if (event.shiftKey && across + up !== 0) {
          event.preventDefault();
          made.set(made.value + step * (across + up)); // plain arrows are the browser's
          changed();
        }
      });
      return made;
    }

    /* Steps to the right and up that a key asks for: ten with the shift key. */
    function arrow(event) {
      const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
      return (steps[event.key] || [0, 0]).map((count) => count * (event.shiftKey ? 10 : 1));
    }

    /**
     * @param {ChoiceSettings} settings
     * @returns {Choice}
     */
    function choice({ name, label, options, value }) {
      const box = make("fieldset", place(), { className: "live-choice" });
      make("legend", box, { textContent: label });
      const made = /** @type {Choice} */ ({ value });
      const buttons = {};
      groups += 1;
      for (const [key, words] of Object.entries(options)) {
        const line = make("label", box);
        const button = { type: "radio", name: `live-choice-${groups}`, value: key };
        buttons[key] = make("input", line, { ...button, checked: key === value });
        make("span", line, { textContent: words });
        buttons[key].addEventListener("change", () => {
          made.value = key;
          changed();
        });
      }
      made.set = (key) => {
        made.value = key;
        buttons[key].checked = true;
      };
      keep(
        name,
        () => made.value,
        (text) => made.set(Object.hasOwn(buttons, text) ? text : value),
      );
      return made;
    }

    /**
     * @param {ChoiceSettings} settings
     * @returns {Choice}
     */
    function menu({ name, label, options, value }) {
      const line = make("label", place(), { className: "live-menu" });
      make("span", line, { textContent: label });
      const list = make("select", line);
      for (const [key, words] of Object.entries(options)) {
        make("option", list, { value: key, textContent: words });
      }
      const made = /** @type {Choice} */ ({ value });
      made.set = (key) => {
        made.value = key;
        list.value = key;
      };
      made.set(value);
      keep(
        name,
        () => made.value,
        (text) => made.set(Object.hasOwn(options, text) ? text : value),
      );
      list.addEventListener("change", () => {
        made.value = list.value;
        changed();
      });
      return made;
    }

    /**
     * @param {NumberSettings} settings
     * @returns {NumberField}
     */
    function number({ name, label, minimum, maximum, value }) {
      const line = make("label", place(), { className: "live-number" });
      make("span", line, { textContent: label });
      const input = make("input", line, { type: "text", inputMode: "decimal", value });
      const made = /** @type {NumberField} */ ({ element: line, value });
      const read = (text) => (text.trim() === "" ? Number.NaN : Number(text.replace(",", ".")));
      const fits = (wanted) => wanted >= minimum && wanted <= maximum; // never true of NaN
      made.set = (wanted) => {
        made.value = fits(wanted) ? wanted : value;
        input.value = made.value;
        input.removeAttribute("aria-invalid");
      };
      keep(
        name,
        () => String(made.value),
        (text) => made.set(read(text)),
      );
      input.addEventListener("input", () => {
        const typed = read(input.value);
        input.setAttribute("aria-invalid", String(!fits(typed)));
        if (fits(typed)) made.value = typed;
        changed();
      });
      return made;
    }

    /**
     * @param {string} words
     * @param {() => void} action
     */
    function button(words, action) {
      const element = make("button", place(), { type: "button", textContent: words });
      element.addEventListener(
        "click",
        guard(() => {
          action();
          changed();
        }),
      );
      return { element };
    }

    /** @param {string} label */
    function readout(label) {
      const line = make("p", place(), { className: "live-readout" });
      make("span", line, { textContent: label });
      const value = make("span", line);
      return { element: line, show: (words) => (value.textContent = words) };
    }

    /**
     * @param {Chart} drawn
     * @param {Movable | null} horizontal
     * @param {Movable | null} vertical
     * @param {() => void} [tap]
     */
    function pad(drawn, horizontal, vertical, tap = () => {}) {
      const { element } = drawn.canvas;
      const sliders = [horizontal, vertical];
      const { at = (y) => y } = vertical || {};
      element.tabIndex = 0;
      element.classList.add("live-pad");
      function move(event) {
        const [px, py] = drawn.canvas.at(event);
        horizontal?.set(drawn.fromX(px));
        vertical?.set(at(drawn.fromY(py)));
        changed();
      }
      let start = null; // where the pointer went down, until it has dragged
      element.addEventListener("pointerdown", (event) => {
        element.setPointerCapture(event.pointerId);
        start = [event.clientX, event.clientY];
        move(event);
      });
      element.addEventListener("pointermove", (event) => {
        if (!element.hasPointerCapture(event.pointerId)) return;
        if (start && Math.hypot(event.clientX - start[0], event.clientY - start[1]) < STILL) return;
        start = null;
        move(event);
      });
      element.addEventListener("pointerup", () => {
        if (!start) return;
        tap();
        changed();
      });
      element.addEventListener("keydown", (event) => {
        if (event.key === "Enter") {
          tap();
          changed();
        }
        const steps = arrow(event);
        const home = event.key === "Home";
        if (!home && steps[0] + steps[1] === 0) return;
        event.preventDefault();
        sliders.forEach((each, i) => {
          each?.set(home ? each.home : each.value + each.step * steps[i]);
        });
        changed();
      });
    }

    function stop() {
      cancelAnimationFrame(frame);
      frame = 0;
    }

    /**
     * @param {() => boolean} step
     * @param {() => void} show
     */
    function play(step, show) {
      stop();
      if (LIVE.reducedMotion()) {
        while (step() !== false);
        show();
        return;
      }
      const next = guard(() => {
        frame = step() === false ? 0 : requestAnimationFrame(next);
        show();
      });
      frame = requestAnimationFrame(next);
    }

    /** @param {() => boolean} slice */
    function work(slice) {
      stop();
      let drawn = Number.NEGATIVE_INFINITY;
      const next = guard((now) => {
        if (slice() === false) {
          frame = 0;
          changed();
          return;
        }
        frame = requestAnimationFrame(next);
        if (LIVE.reducedMotion() && now - drawn < CALM) return;
        drawn = now;
        redraw();
      });
      frame = requestAnimationFrame(next);
    }

    /** @param {() => boolean} step */
    const animate = (step) => play(step, changed);

    /**
     * @param {Picture} picture
     * @param {() => boolean} step
     */
    function animateOnceSeen({ element }, step) {
      const watch = new IntersectionObserver(
        guard((entries) => {
          if (!entries.some((entry) => entry.isIntersecting)) return;
          watch.disconnect();
          play(step, redraw);
        }),
        { threshold: 0.5 },
      );
      watch.observe(element);
    }

    const parts = {
      place,
      canvas,
      chart,
      image,
      slider,
      choice,
      menu,
      number,
      button,
      readout,
      pad,
    };
    const together = { row: group("row"), stack: group("stack"), fold };
    const life = {
      guard,
      redraw,
      changed,
      arrive,
      keep,
      animate,
      work,
      animateOnceSeen,
      stop,
      update: (action) => (update = action),
    };
    return { root, values: {}, column: startColumn, ...together, ...parts, ...life };
  }
})();
