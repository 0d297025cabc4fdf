/* The pictures of train-here: curves, the latent plane, rows of digits, a pad to draw in, and the
   framework's drawing with some of its parts lit. framework.js carries the drawing. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const DIGITS = window.VAE_DIGITS;
  const FRAMEWORK = window.VAE_FRAMEWORK;
  const { drawn, training } = LIVE;
  const DEPTH = 30; // nats below the top that the chart of the bound shows
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const classes = DIGITS.colours.map((_, digit) =>
    training.labels.flatMap((label, i) => (label === digit ? [i] : [])),
  );

  /* The framework's drawing in the page: light(parts) dims the others, show(image, copy) fills it. */
  function createDrawing(parent) {
    const host = document.createElement("div");
    host.className = "framework-drawing";
    host.innerHTML = FRAMEWORK.wide + FRAMEWORK.tall;
    parent.append(host);

    /* Greys over the ones that the drawing came with. */
    function fill(part, pixels) {
      for (const group of host.querySelectorAll(`g.${part}`)) {
        const cells = group.querySelector("g");
        const frame = group.querySelector(":scope > rect");
        const [x, y, size] = ["x", "y", "width"].map((name) => Number(frame.getAttribute(name)));
        const side = size / 8;
        const squares = Array.from(pixels, (ink, i) => {
          const [row, column] = [Math.floor(i / 8), i % 8];
          const opacity = Math.min(1, Math.max(0, ink)).toFixed(3);
          return (
            `<rect x="${x + side * column}" y="${y + side * row}" width="${side}" ` +
            `height="${side}" fill="${frame.getAttribute("stroke")}" fill-opacity="${opacity}"/>`
          );
        });
        cells.innerHTML = squares.join("");
      }
    }
    /* Where the groups of some parts stand on the screen, together. */
    function placeOf(parts) {
      const boxes = [...host.querySelectorAll("svg > g")]
        .filter((group) => parts.some((part) => group.classList.contains(part)))
        .map((group) => group.getBoundingClientRect())
        .filter(({ width }) => width > 0); // one of the two drawings is hidden
      return {
        top: Math.min(...boxes.map(({ top }) => top)),
        bottom: Math.max(...boxes.map(({ bottom }) => bottom)),
      };
    }
    return {
      /* Scrolls only where a part is hidden: below the window, or above the line `under`. */
      reveal(parts, under) {
        const { top, bottom } = placeOf(parts);
        if (top < under || bottom > window.innerHeight) window.scrollBy(0, top - under - 24);
      },
      show({ image, copy }) {
        fill("x", image);
        fill("copy", copy);
      },
      light(parts) {
        for (const group of host.querySelectorAll("svg > g")) {
          group.classList.toggle("unlit", !parts.some((part) => group.classList.contains(part)));
        }
        for (const svg of host.querySelectorAll("svg")) {
          svg.setAttribute("aria-label", `The framework, lit: ${parts.join(", ")}.`);
        }
      },
    };
  }

  const column = (points, name) => points.map((point) => point[name]);

  /* Points in a row with one σ²; from one stretch to the next log p(x) jumps. */
  function stretches(history) {
    const found = [];
    for (const point of history) {
      if (found.at(-1)?.[0].variance === point.variance) found.at(-1).push(point);
      else found.push([point]);
    }
    return found;
  }

  function drawStretch(chart, points) {
    const names = ["step", "logEvidence", "best", "bound"];
    const [steps, truth, best, bound] = names.map((name) => column(points, name));
    chart.gap(steps, bound, truth);
    chart.line(steps, best, "encoder", [5, 3]);
    chart.line(steps, bound, "encoder");
    chart.line(steps, truth, "data");
    if (points.length > 1) return;
    chart.points(steps, bound, "encoder", 3, 1);
    chart.points(steps, truth, "data", 3, 1);
  }

  /* The stretch of now fills the chart, without the steep climb of its first quarter. */
  function fit(chart, points, wide) {
    const end = points.at(-1).step;
    const late = points.filter(({ step }) => step >= end / 4);
    const top = Math.max(...column(points, "logEvidence"));
    const foot = Math.max(Math.min(...column(late, "bound")), top - DEPTH);
    const room = 0.05 + (wide ? 0.85 : 0.55) * (top - foot); // for the key
    chart.range([0, 1.03 * Math.max(150, end)], [foot - 0.1 * room, top + room]);
  }

  /* Of the run before, `former`, only log p(x) is left. */
  function drawCurves(chart, history, former) {
    const parts = stretches(history);
    if (parts.length > 0) fit(chart, parts.at(-1), former.length > 0);
    chart.clear();
    for (const part of stretches(former)) {
      chart.line(column(part, "step"), column(part, "logEvidence"), "rival");
    }
    for (const part of parts) drawStretch(chart, part);
    const names = [
      ["data", "log p(x), exact"],
      ["encoder", "bound of the best q", [5, 3]],
      ["encoder", "bound of the encoder’s q"],
    ];
    chart.key(former.length > 0 ? [...names, ["rival", "log p(x), the run before"]] : names);
  }

  function drawPlane(chart, { codes }, own) {
    chart.clear();
    const at = (i, axis) => codes[i][axis];
    classes.forEach((members, digit) => {
      const places = [0, 1].map((axis) => members.map((i) => at(i, axis)));
      chart.points(places[0], places[1], DIGITS.colours[digit], 1.7, 0.6);
    });
    const angles = LIVE.linspace(0, 2 * Math.PI, 60);
    const ring = (centre, radii) => [
      angles.map((angle) => centre[0] + radii[0] * Math.cos(angle)),
      angles.map((angle) => centre[1] + radii[1] * Math.sin(angle)),
    ];
    const [circleX, circleY] = ring([0, 0], [2, 2]);
    chart.line(circleX, circleY, "prior");
    classes.forEach((members, digit) => {
      const [x, y] = [0, 1].map((axis) => mean(members.map((i) => at(i, axis))));
      chart.disc(x, y, 8, { fill: "white", edge: DIGITS.colours[digit], width: 1.5 });
      chart.text(x, y, String(digit), "data", "center");
    });
    if (!own) return;
    const q = training.posterior(own);
    const [xs, ys] = ring(
      q.mean,
      q.logVariance.map((value) => 2 * Math.exp(value / 2)),
    );
    chart.line(xs, ys, "encoder");
    chart.disc(q.mean[0], q.mean[1], 5, { fill: "encoder", edge: "white", width: 2 });
  }

  /* Rows of images with a white pixel between them, as pixels of one. */
  function strip(rows, columns) {
    const width = 9 * columns - 1;
    const pixels = new Float64Array(width * (9 * rows.length - 1));
    rows.forEach((row, r) => {
      row.forEach((image, c) => {
        image.forEach((ink, i) => {
          pixels[width * (9 * r + Math.floor(i / 8)) + 9 * c + (i % 8)] = ink;
        });
      });
    });
    return pixels;
  }

  /* A square to draw in, with a finger, the mouse or keys: {bitmap, draw(), pen}. `changed` is called
     whenever the bitmap or the pen has changed. */
  function createPad(canvas, changed) {
    const { element } = canvas;
    const pad = {
      bitmap: new Uint8Array(drawn.SIDE ** 2),
      pen: { down: false, at: [15.5, 6] },
      draw,
    };

    function ink(from, to) {
      pad.bitmap = Uint8Array.from(pad.bitmap);
      drawn.stroke(pad.bitmap, from, to);
      pad.pen.at = to;
      changed();
    }
    const place = (event) => {
      const box = element.getBoundingClientRect();
      const parts = [event.clientX - box.left, event.clientY - box.top];
      return parts.map((part) => (part / box.width) * drawn.SIDE);
    };
    element.classList.add("live-pad");
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      ink(place(event), place(event));
    });
    element.addEventListener("pointermove", (event) => {
      if (element.hasPointerCapture(event.pointerId)) ink(pad.pen.at, place(event));
    });
    element.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      const { pen } = pad;
      if (event.key !== " " && !moves[event.key]) return;
      event.preventDefault();
      if (event.key === " ") pen.down = !pen.down;
      const wanted = (moves[event.key] || [0, 0]).map((by, i) => pen.at[i] + by);
      const to = wanted.map((part) => Math.min(drawn.SIDE, Math.max(0, part)));
      if (pen.down) {
        ink(pen.at, to);
      } else {
        pen.at = to;
        changed();
      }
    });

    function draw() {
      const pencil = canvas.context;
      const cell = canvas.width / drawn.SIDE;
      pencil.fillStyle = "white";
      pencil.fillRect(0, 0, canvas.width, canvas.height);
      pencil.strokeStyle = "#DDDDDD";
      pencil.lineWidth = 1;
      for (let line = 0; line <= 8; line += 1) {
        pencil.strokeRect(4 * line * cell, 0, 0, canvas.height);
        pencil.strokeRect(0, 4 * line * cell, canvas.width, 0);
      }
      pencil.fillStyle = LIVE.INKS.data.color;
      pad.bitmap.forEach((inked, i) => {
        const [y, x] = [Math.floor(i / drawn.SIDE), i % drawn.SIDE];
        if (inked) pencil.fillRect(x * cell, y * cell, cell + 0.5, cell + 0.5);
      });
      pencil.beginPath();
      pencil.arc(pad.pen.at[0] * cell, pad.pen.at[1] * cell, 5, 0, 2 * Math.PI);
      pencil.strokeStyle = pad.pen.down ? LIVE.INKS.encoder.color : "#666666";
      pencil.lineWidth = 2;
      pencil.stroke();
    }
    return pad;
  }

  LIVE.trainingPictures = { createDrawing, createPad, drawCurves, drawPlane, strip };
})();
