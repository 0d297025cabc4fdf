/* Charts of the live figures: axes on a canvas, and the book's six inks. `stage.chart` makes one.

   VAE_LIVE.INKS[quantity]                 {color, dash, width}: one colour, one quantity
   chart.clear()                           white, then axes, ticks and labels; first in every update
   chart.line(xs, ys, ink)                 a curve in the ink of its quantity;
                                           a dash after it, where two curves show one quantity
   chart.points(xs, ys, ink, radius, opacity)   small discs, all alike
   chart.disc(x, y, radius, {fill, edge, width})   one disc, whole even at the chart's edge; fill and
                                           edge are inks, either may be left out
   chart.arrow(from, to, ink, width)       from one place [x, y] to another, head and all
   chart.gap(xs, lows, highs)              the hatched grey band between a bound and the truth
   chart.band(xs, lows, highs, ink)        a pale tint between two curves
   chart.stripes(xs, lows, highs, ink)     stripes between two curves, that slant the other way
   chart.key([[ink, words, dash], …], side)   which line is which, in the top left corner, or in
                                           the top right one where side is "right"
   chart.text(x, y, words, ink, align)     words at a place in data units
   chart.toX(x), toY(y), fromX(px), fromY(px)     data units ↔ pixels of the page
   chart.range(x, y)                       new limits, each [low, high]
   An ink is a name of INKS. What has no dash and no width of its own (points, disc, stripes, text)
   takes any colour as well: digits' classes are no quantity and have no ink.
   VAE_LIVE.ticks(low, high)               → about four round numbers between two limits
   chart.canvas                            what `stage.canvas` returned: context, width, height
*/

/**
 * @typedef {"data" | "prior" | "encoder" | "posterior" | "decoder" | "rival"} Ink
 * @typedef {ArrayLike<number>} Numbers
 * @typedef {(string | number[])[]} KeyEntry  [ink, words, dash]
 * @typedef {{canvas: Canvas, clear: () => void,
 *   line: (xs: Numbers, ys: Numbers, ink: Ink, dash?: number[]) => void,
 *   points: (xs: Numbers, ys: Numbers, ink: string, radius: number, opacity: number) => void,
 *   disc: (x: number, y: number, radius: number,
 *     style: {fill?: string, edge?: string, width?: number}) => void,
 *   arrow: (from: number[], to: number[], ink: Ink, width: number) => void,
 *   gap: (xs: Numbers, lows: Numbers, highs: Numbers) => void,
 *   band: (xs: Numbers, lows: Numbers, highs: Numbers, ink: Ink) => void,
 *   stripes: (xs: Numbers, lows: Numbers, highs: Numbers, ink: string) => void,
 *   key: (entries: KeyEntry[], side?: "left" | "right") => void,
 *   text: (x: number, y: number, words: string, ink: string, align: CanvasTextAlign) => void,
 *   toX: (x: number) => number, toY: (y: number) => number,
 *   fromX: (px: number) => number, fromY: (py: number) => number,
 *   range: (x: number[], y: number[]) => void}} Chart
 */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const MARGIN = { left: 44, right: 10, top: 10, bottom: 40 }; // pixels
  const GREY = "#666666";
  const colorOf = (ink) => LIVE.INKS[ink]?.color ?? ink;
  const decimals = (value) => (String(value).split(".")[1] || "").length;

  LIVE.FONT = "13px system-ui, sans-serif";
  LIVE.INKS = {
    data: { color: "#222222", dash: [], width: 2 }, // data, log p(x): what is given or true
    prior: { color: "#0072B2", dash: [7, 4], width: 2 },
    encoder: { color: "#C44E00", dash: [], width: 2 }, // q(z|x), and the bound computed with it
    posterior: { color: "#007F5C", dash: [], width: 1.25 }, // the exact p(z|x)
    decoder: { color: "#B8447E", dash: [8, 3, 2, 3], width: 2 }, // p(x|z), distortion
    rival: { color: "#7A5195", dash: [2, 3], width: 2 }, // score function, baseline
  };

  LIVE.ticks = (low, high) => {
    const power = 10 ** Math.floor(Math.log10((high - low) / 3));
    const step = [5, 2, 1].map((times) => times * power).find((each) => 3 * each <= high - low);
    const first = Math.ceil(low / step);
    const count = Math.floor(high / step) - first + 1;
    return Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(9)));
  };

  /* axes: {x: {range: [low, high], label, ticks, words}, y: the same}. ticks: a list of values, round
     ones if not given; words: a function from a tick to what is written there, its number if not.
     y has room as well: pixels for its label and numbers, if MARGIN.left is not enough. */
  LIVE.chart = (canvas, axes) => {
    const pen = canvas.context;
    const margin = { ...MARGIN, left: axes.y.room || MARGIN.left };
    let [left, right] = axes.x.range;
    let [bottom, top] = axes.y.range;
    const innerWidth = () => canvas.width - margin.left - margin.right;
    const innerHeight = () => canvas.height - margin.top - margin.bottom;
    const toX = (x) => margin.left + ((x - left) / (right - left)) * innerWidth();
    const toY = (y) => margin.top + ((top - y) / (top - bottom)) * innerHeight();
    const fromX = (px) => left + ((px - margin.left) / innerWidth()) * (right - left);
    const fromY = (px) => top - ((px - margin.top) / innerHeight()) * (top - bottom);

    /* Whatever `draw` does stays between the axes. */
    function inside(draw) {
      pen.save();
      pen.beginPath();
      pen.rect(margin.left, margin.top, innerWidth(), innerHeight());
      pen.clip();
      draw();
      pen.restore();
    }

    function path(xs, ys) {
      for (let i = 0; i < xs.length; i += 1) {
        pen.lineTo(toX(xs[i]), toY(ys[i]));
      }
    }

    function word(text, px, py, align, ink) {
      pen.font = LIVE.FONT;
      pen.textAlign = align;
      pen.textBaseline = "middle";
      pen.fillStyle = colorOf(ink);
      pen.fillText(text, px, py);
    }

    function ticks(axis, low, high) {
      const inRange = (tick) => tick >= low && tick <= high;
      const shown = (axis.ticks || LIVE.ticks(low, high)).filter(inRange);
      const most = Math.max(...shown.map(decimals));
      const { words = (tick) => LIVE.number(tick, tick === 0 ? 0 : most) } = axis;
      return shown.map((tick) => [tick, words(tick)]);
    }

    function clear() {
      const [foot, end] = [canvas.height - margin.bottom, canvas.width - margin.right];
      pen.fillStyle = "white";
      pen.fillRect(0, 0, canvas.width, canvas.height);
      pen.beginPath();
      pen.moveTo(margin.left, margin.top);
      pen.lineTo(margin.left, foot);
      pen.lineTo(end, foot);
      pen.strokeStyle = GREY;
      pen.lineWidth = 1;
      pen.stroke();
      for (const [x, text] of ticks(axes.x, left, right)) {
        pen.strokeRect(toX(x), foot, 0, 4);
        word(text, toX(x), foot + 13, "center", "#222222");
      }
      for (const [y, text] of ticks(axes.y, bottom, top)) {
        pen.strokeRect(margin.left - 4, toY(y), 4, 0);
        word(text, margin.left - 7, toY(y), "right", "#222222");
      }
      word(axes.x.label, margin.left + innerWidth() / 2, canvas.height - 9, "center", "#222222");
      pen.save();
      pen.translate(9, margin.top + innerHeight() / 2);
      pen.rotate(-Math.PI / 2);
      word(axes.y.label, 0, 0, "center", "#222222");
      pen.restore();
    }

    function line(xs, ys, ink, dash = LIVE.INKS[ink].dash) {
      const { color, width } = LIVE.INKS[ink];
      inside(() => {
        pen.beginPath();
        path(xs, ys);
        pen.strokeStyle = color;
        pen.lineWidth = width;
        pen.setLineDash(dash);
        pen.stroke();
      });
    }

    function points(xs, ys, ink, radius, opacity) {
      inside(() => {
        pen.fillStyle = colorOf(ink);
        pen.globalAlpha = opacity;
        for (let i = 0; i < xs.length; i += 1) {
          pen.beginPath();
          pen.arc(toX(xs[i]), toY(ys[i]), radius, 0, 2 * Math.PI);
          pen.fill();
        }
      });
    }

    function disc(x, y, radius, { fill, edge, width }) {
      pen.beginPath();
      pen.arc(toX(x), toY(y), radius, 0, 2 * Math.PI);
      if (fill) {
        pen.fillStyle = colorOf(fill);
        pen.fill();
      }
      if (edge) {
        pen.strokeStyle = colorOf(edge);
        pen.lineWidth = width;
        pen.stroke();
      }
    }

    /* The head is no longer than half the arrow. */
    function arrow(from, to, ink, width) {
      const [x, y, endX, endY] = [toX(from[0]), toY(from[1]), toX(to[0]), toY(to[1])];
      const [length, angle] = [Math.hypot(endX - x, endY - y), Math.atan2(endY - y, endX - x)];
      const head = Math.min(5 + 2 * width, length / 2);
      inside(() => {
        pen.translate(endX, endY);
        pen.rotate(angle);
        pen.strokeStyle = colorOf(ink);
        pen.fillStyle = colorOf(ink);
        pen.lineWidth = width;
        pen.beginPath();
        pen.moveTo(-length, 0);
        pen.lineTo(-head, 0);
        pen.stroke();
        pen.beginPath();
        pen.moveTo(0, 0);
        pen.lineTo(-head, head / 2.5);
        pen.lineTo(-head, -head / 2.5);
        pen.fill();
      });
    }

    /* Fills what lies between two curves. */
    function between(xs, lows, highs, ink) {
      pen.beginPath();
      path(xs, lows);
      path(Array.from(xs).reverse(), Array.from(highs).reverse());
      pen.fillStyle = colorOf(ink);
      pen.fill();
    }

    /* Slanted lines over what was filled last, up to the right with slant 1, down with −1. */
    function hatch(ink, slant, space) {
      pen.clip();
      pen.beginPath();
      for (let start = -canvas.height; start < canvas.width; start += space) {
        pen.moveTo(start, slant > 0 ? canvas.height : 0);
        pen.lineTo(start + canvas.height, slant > 0 ? 0 : canvas.height);
      }
      pen.strokeStyle = colorOf(ink);
      pen.lineWidth = 0.75;
      pen.stroke();
    }

    function gap(xs, lows, highs) {
      inside(() => {
        between(xs, lows, highs, "#EEEEEE");
        hatch("#888888", 1, 8);
      });
    }

    function stripes(xs, lows, highs, ink) {
      inside(() => {
        between(xs, lows, highs, "white");
        hatch(ink, -1, 5);
      });
    }

    function band(xs, lows, highs, ink) {
      inside(() => {
        pen.globalAlpha = 0.2;
        between(xs, lows, highs, ink);
      });
    }

    function key(entries, side = "left") {
      const [edge, away] =
        side === "left" ? [margin.left + 8, 1] : [canvas.width - margin.right - 8, -1];
      entries.forEach(([ink, words, dash = LIVE.INKS[ink].dash], row) => {
        const py = margin.top + 10 + 18 * row;
        pen.save();
        pen.font = LIVE.FONT;
        pen.fillStyle = "rgb(255 255 255 / 80%)";
        pen.fillRect(edge - 3 * away, py - 9, away * (pen.measureText(words).width + 38), 18);
        pen.beginPath();
        pen.moveTo(edge, py);
        pen.lineTo(edge + 26 * away, py);
        pen.strokeStyle = LIVE.INKS[ink].color;
        pen.lineWidth = LIVE.INKS[ink].width;
        pen.setLineDash(dash);
        pen.stroke();
        pen.restore();
        word(words, edge + 32 * away, py, side, ink);
      });
    }

    const text = (x, y, words, ink, align) => word(words, toX(x), toY(y), align, ink);
    function range(x, y) {
      [left, right] = x;
      [bottom, top] = y;
    }
    const shapes = { clear, line, points, disc, arrow, gap, band, stripes, key, text, range };
    return { canvas, ...shapes, toX, toY, fromX, fromY };
  };
})();
