/* The planes of side-by-side: the reader's points, a cloud of samples, the field of a discriminator,
   and the hand that places points on them.

   VAE_LIVE.planes.createPlane(stage, ink)   → {canvas, draw({points, hits, cloud, field, cursor})}:
                                           points and a cloud of [x, y], hits a truth a point or
                                           null, field a function of a point or null, cursor a
                                           place or null
   VAE_LIVE.planes.createHand(planes, {points, place, changed})   moves points on the planes, by the
                                           mouse, a finger or keys: points() are those of now, place
                                           takes others, changed is called after all that shows;
                                           → {at, held}: the cursor's place, and the index of the
                                           point that keys have picked up, or −1 */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const { snap, MOST } = LIVE.sideBySide;
  const [ACROSS, UP] = [3.3, 2.3]; // what a plane shows, to either side of 0
  const CELLS = [50, 35]; // of a field
  const SHADE = 0.42; // the most of the rival's ink in it
  const NEAR = 14; // pixels: a finger that close to a point means the point
  const STILL = 5; // pixels: a pointer that moved by less has dragged nothing
  const STRIDE = 0.05; // of a key; ten times that with Shift
  const logistic = (t) => 1 / (1 + Math.exp(-t));
  const channels = (color) => [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));

  function createPlane(stage, ink) {
    const canvas = stage.canvas({ width: 340, aspect: UP / ACROSS });
    const { context: pen } = canvas;
    const shade = Object.assign(document.createElement("canvas"), {
      ...{ width: CELLS[0], height: CELLS[1] },
    });
    const inner = shade.getContext("2d");
    const color = channels(LIVE.INKS.rival.color);
    const scale = () => canvas.width / (2 * ACROSS); // pixels of a unit
    /** @type {(point: number[]) => number[]} */
    const toPixels = ([x, y]) => [(x + ACROSS) * scale(), (UP - y) * scale()];
    /** @type {(place: number[]) => number[]} */
    const fromPixels = ([px, py]) => [px / scale() - ACROSS, UP - py / scale()];

    /* White where D is sure of data, the rival's ink where it is sure of the maker. */
    function drawField(field) {
      const image = inner.createImageData(CELLS[0], CELLS[1]);
      for (let row = 0, at = 0; row < CELLS[1]; row += 1) {
        for (let column = 0; column < CELLS[0]; column += 1, at += 4) {
          const x = ((2 * (column + 0.5)) / CELLS[0] - 1) * ACROSS;
          const y = (1 - (2 * (row + 0.5)) / CELLS[1]) * UP;
          image.data.set([...color, 255 * SHADE * (1 - logistic(field([x, y])))], at);
        }
      }
      inner.putImageData(image, 0, 0);
      pen.drawImage(shade, 0, 0, canvas.width, canvas.height);
    }

    function drawAxes() {
      pen.font = LIVE.FONT;
      pen.fillStyle = "#555555";
      pen.strokeStyle = "#DDDDDD";
      pen.lineWidth = 1;
      const [left, middle] = toPixels([0, 0]);
      pen.strokeRect(left, 0, 0, canvas.height);
      pen.strokeRect(0, middle, canvas.width, 0);
      pen.textBaseline = "middle";
      for (const value of [-2, 2]) {
        const [px, py] = toPixels([value, value]);
        const words = LIVE.number(value, 0);
        pen.strokeRect(px, middle - 3, 0, 6);
        pen.strokeRect(left - 3, py, 6, 0);
        pen.textAlign = "center";
        pen.fillText(words, px, middle + 11);
        pen.textAlign = "left";
        pen.fillText(words, left + 6, py);
      }
    }

    /** @param {number[]} at */
    function disc(at, radius, fill, edge) {
      pen.beginPath();
      pen.arc(at[0], at[1], radius, 0, 2 * Math.PI);
      pen.fillStyle = fill;
      pen.fill();
      pen.strokeStyle = edge;
      pen.lineWidth = 1.75;
      pen.stroke();
    }

    function draw({ points, hits, cloud, field, cursor }) {
      pen.fillStyle = "white";
      pen.fillRect(0, 0, canvas.width, canvas.height);
      if (field) drawField(field);
      drawAxes();
      pen.fillStyle = LIVE.INKS[ink].color;
      pen.globalAlpha = 0.55;
      for (const sample of cloud) {
        const [px, py] = toPixels(sample);
        pen.fillRect(px - 1.25, py - 1.25, 2.5, 2.5);
      }
      pen.globalAlpha = 1;
      const black = LIVE.INKS.data.color;
      points.forEach((point, i) => {
        disc(toPixels(point), 4, hits && !hits[i] ? "white" : black, black);
      });
      if (!cursor) return;
      const [px, py] = toPixels(cursor);
      pen.strokeStyle = LIVE.INKS.encoder.color;
      pen.lineWidth = 2;
      pen.strokeRect(px - 8, py - 8, 16, 16);
    }
    return { canvas, draw, toPixels, fromPixels };
  }

  function createHand(planes, { points, place, changed }) {
    const hand = { at: [0, 0], held: -1 };
    const others = (index) => points().filter((_, i) => i !== index);

    function nearest(to, plane) {
      const [px, py] = plane.toPixels(to);
      const away = points().map((point) => {
        const [x, y] = plane.toPixels(point);
        return Math.hypot(x - px, y - py);
      });
      const index = away.indexOf(Math.min(...away));
      return away[index] <= NEAR ? index : -1;
    }
    /* One point may not stand on another, and the last one stays. */
    const taken = (to, index = -1) =>
      points().some(([x, y], i) => i !== index && x === to[0] && y === to[1]);
    function add(to) {
      if (points().length < MOST && !taken(to)) place([...points(), to]);
    }
    function remove(index) {
      if (points().length > 1) place(others(index));
    }
    function move(index, to) {
      if (!taken(to, index)) place(points().map((point, i) => (i === index ? to : point)));
    }

    for (const plane of planes) {
      const { element } = plane.canvas;
      let grabbed = -1;
      let start = null; // where an old point was taken, until it has been dragged
      element.tabIndex = 0;
      element.classList.add("live-pad");
      const placeOf = (event) => snap(plane.fromPixels(plane.canvas.at(event)));
      element.addEventListener("pointerdown", (event) => {
        element.setPointerCapture(event.pointerId);
        hand.at = placeOf(event);
        hand.held = -1;
        grabbed = nearest(plane.fromPixels(plane.canvas.at(event)), plane);
        start = grabbed < 0 ? null : [event.clientX, event.clientY];
        if (grabbed < 0) {
          add(hand.at);
          grabbed = points().findIndex(([x, y]) => x === hand.at[0] && y === hand.at[1]);
        }
        changed();
      });
      element.addEventListener("pointermove", (event) => {
        if (grabbed < 0 || !element.hasPointerCapture(event.pointerId)) return;
        if (start && Math.hypot(event.clientX - start[0], event.clientY - start[1]) < STILL) return;
        start = null;
        hand.at = placeOf(event);
        move(grabbed, hand.at);
        changed();
      });
      element.addEventListener("pointerup", () => {
        if (start) remove(grabbed);
        [grabbed, start] = [-1, null];
        changed();
      });
      element.addEventListener("pointercancel", () => {
        [grabbed, start] = [-1, null];
      });
      element.addEventListener("keydown", (event) => {
        const moves = {
          ArrowLeft: [-1, 0],
          ArrowRight: [1, 0],
          ArrowDown: [0, -1],
          ArrowUp: [0, 1],
        };
        const way = moves[event.key];
        if (!way && event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        const near = nearest(hand.at, plane);
        if (event.key === " ") {
          hand.held = hand.held < 0 ? near : -1;
        } else if (event.key === "Enter") {
          hand.held = -1;
          if (near < 0) add(hand.at);
          else remove(near);
        } else {
          const stride = STRIDE * (event.shiftKey ? 10 : 1);
          hand.at = snap(hand.at.map((value, i) => value + stride * way[i]));
          if (hand.held >= 0) move(hand.held, hand.at);
        }
        changed();
      });
      for (const turn of ["focus", "blur"]) element.addEventListener(turn, changed);
    }
    return hand;
  }

  LIVE.planes = { createPlane, createHand };
})();
