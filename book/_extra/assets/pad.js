/* What the latent pads share: a plane, tiled with what a decoder draws there, and a walk through it.

   Points are stored one after the other, z₁ and z₂ in turn.
     VAE_LIVE.plane(stage, {range, start}, tap)   {chart, sliders}: a plane that is a pad, and z₁ and z₂
     VAE_LIVE.nearest(points, z, count)    the nearest ones: [{index, distance}, …], nearest first
     VAE_LIVE.company(labels, near)        {counts, words}: the classes of those, and where z lies
     VAE_LIVE.middles(points, labels)      for each class the mean of its points
     VAE_LIVE.ellipse(mean, logVariance)   [xs, ys]: two standard deviations about the mean
     VAE_LIVE.along(start, end, share)     a point of the line from start, at 0, to end, at 1
     VAE_LIVE.tiles(range, count)          the middles of count · count tiles, row by row from the top
     VAE_LIVE.sheet(images, columns, rows) a canvas of tiles with rows · rows pixels each
     VAE_LIVE.walk(stage, settings)        two lists, a button and a strip of images: see below
   What draws on a plane, a chart, is in VAE_LIVE.onPlane. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const COLORS = [
    ...["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"],
    ...["#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"],
  ]; // the same ten as vae_tutorial.pictures.DIGIT_COLOURS
  const FRAMES = 180; // of a walk: three seconds on most screens
  const STILLS = 9; // images of the strip below it
  const GAP = 2; // pixels of a sheet between two tiles

  LIVE.plane = (stage, { range, start }, tap) => {
    const chart = stage.chart({
      width: 384,
      aspect: 1,
      x: { range: range.x, label: "first latent, z₁" },
      y: { range: range.y, label: "second latent, z₂" },
    });
    const sliders = ["x", "y"].map((axis, i) => {
      const names = { name: `z${i + 1}`, label: ["z₁", "z₂"][i] };
      const [minimum, maximum] = range[axis];
      return stage.slider({ ...names, minimum, maximum, step: 0.05, value: start[i], home: 0 });
    });
    stage.pad(chart, sliders[0], sliders[1], tap);
    return { chart, sliders };
  };

  LIVE.FAR = 0.5; // from here on, no point is near

  LIVE.nearest = (points, z, count) => {
    const all = Array.from({ length: points.length / 2 }, (_, index) => ({
      index,
      distance: Math.hypot(points[2 * index] - z[0], points[2 * index + 1] - z[1]),
    }));
    return all.sort((a, b) => a.distance - b.distance).slice(0, count);
  };

  LIVE.company = (labels, near) => {
    const counts = new Array(10).fill(0); // (10)
    for (const { index } of near) counts[labels[index]] += 1;
    const order = counts.map((_, digit) => digit).sort((a, b) => counts[b] - counts[a]);
    if (near[0].distance > LIVE.FAR) return { counts, words: "far from every digit" };
    if (counts[order[0]] > (2 / 3) * near.length)
      return { counts, words: `among the ${order[0]}s` };
    return { counts, words: `between ${order[0]}s and ${order[1]}s` };
  };

  LIVE.middles = (points, labels) =>
    COLORS.map((_, digit) => {
      const own = labels.flatMap((label, i) => (label === digit ? [i] : []));
      const sums = [0, 1].map((axis) => own.reduce((sum, i) => sum + points[2 * i + axis], 0));
      return sums.map((sum) => sum / own.length);
    });

  /** @returns {[number[], number[]]} */
  LIVE.ellipse = (mean, logVariance) => {
    const angles = LIVE.linspace(0, 2 * Math.PI, 61);
    const reach = Array.from(logVariance, (each) => 2 * Math.exp(each / 2));
    return [
      angles.map((angle) => mean[0] + reach[0] * Math.cos(angle)),
      angles.map((angle) => mean[1] + reach[1] * Math.sin(angle)),
    ];
  };

  LIVE.along = (start, end, share) => start.map((from, i) => from + share * (end[i] - from));

  LIVE.tiles = ({ x, y }, count) => {
    const middle = ([low, high], i) => low + ((i + 0.5) * (high - low)) / count;
    return Array.from({ length: count * count }, (_, i) => [
      middle(x, i % count),
      middle(y, count - 1 - Math.floor(i / count)),
    ]);
  };

  /* Ink is black of that opacity, so that what is drawn below shows through. */
  LIVE.sheet = (images, columns, rows) => {
    const cell = rows + GAP;
    const sheet = document.createElement("canvas");
    sheet.width = cell * columns;
    sheet.height = cell * Math.ceil(images.length / columns);
    const pen = sheet.getContext("2d");
    images.forEach((pixels, place) => {
      const ink = pen.createImageData(rows, rows);
      pixels.forEach((value, i) => {
        ink.data[4 * i + 3] = 255 * value; // clamped to 0 … 255
      });
      const corner = [place % columns, Math.floor(place / columns)].map(
        (at) => cell * at + GAP / 2,
      );
      pen.putImageData(ink, corner[0], corner[1]);
    });
    return sheet;
  };

  LIVE.onPlane = {
    sheet(chart, { x, y }, sheet, opacity) {
      const pen = chart.canvas.context;
      const [left, top, right, foot] = [
        ...[chart.toX(x[0]), chart.toY(y[1])],
        ...[chart.toX(x[1]), chart.toY(y[0])],
      ];
      pen.save();
      pen.globalAlpha = opacity;
      pen.imageSmoothingEnabled = sheet.width > right - left; // enlarged pixels stay sharp
      pen.imageSmoothingQuality = "high";
      pen.drawImage(sheet, left, top, right - left, foot - top);
      pen.restore();
    },

    /* The circle of two standard deviations. */
    prior(chart) {
      const [xs, ys] = LIVE.ellipse([0, 0], [0, 0]);
      chart.line(xs, ys, "prior");
    },

    points(chart, points, labels) {
      COLORS.forEach((color, digit) => {
        const own = labels.flatMap((label, i) => (label === digit ? [i] : []));
        const [xs, ys] = [0, 1].map((axis) => own.map((i) => points[2 * i + axis]));
        chart.points(xs, ys, color, 1.8, 0.6);
      });
    },

    /* Each digit at the mean of its class. */
    classes(chart, middles) {
      middles.forEach(([x, y], digit) => {
        chart.disc(x, y, 9, { fill: "white", edge: COLORS[digit], width: 2 });
        chart.text(x, y, String(digit), "data", "center");
      });
    },

    /* A dotted line, on white where images lie below. */
    walk(chart, [[x, u], [y, v]]) {
      const pen = chart.canvas.context;
      pen.save();
      for (const [color, width, dash] of [
        ["white", 4, []],
        ["#222222", 1.5, [2, 5]],
      ]) {
        pen.beginPath();
        pen.moveTo(chart.toX(x), chart.toY(y));
        pen.lineTo(chart.toX(u), chart.toY(v));
        pen.strokeStyle = color;
        pen.lineWidth = width;
        pen.setLineDash(dash);
        pen.stroke();
      }
      pen.restore();
    },

    /* A ring around z that leaves open what lies there. */
    cross(chart, z) {
      const pen = chart.canvas.context;
      const [px, py] = [chart.toX(z[0]), chart.toY(z[1])];
      for (const [color, width] of [
        ["white", 6],
        ["#222222", 2.5],
      ]) {
        chart.disc(z[0], z[1], 13, { edge: color, width });
        pen.beginPath();
        for (const [across, up] of [
          [1, 0],
          [-1, 0],
          [0, 1],
          [0, -1],
        ]) {
          pen.moveTo(px + 13 * across, py + 13 * up);
          pen.lineTo(px + 19 * across, py + 19 * up);
        }
        pen.strokeStyle = color;
        pen.lineWidth = width;
        pen.stroke();
      }
    },
  };

  /* A walk moves the two sliders along a line, from a class's typical place to another's, and a
     strip shows the images on the way; below them, if `faded`, the two ends mixed pixel by pixel.
       settings: {sliders, places, between, decode, rows, faded}: places[class] is a point, and
                 between has the two classes of the first walk
       → {line(), draw(), values()}: call draw in every update, before the plane is drawn
     A hand on z, or another choice, ends it. */
  LIVE.walk = (stage, { sliders, places, between, decode, rows, faded }) => {
    const options = Object.fromEntries(places.map((_, digit) => [digit, String(digit)]));
    let frame = 0; // of FRAMES
    let walking = false;
    let left = ""; // where the walk itself put z, and between which classes
    let strip = { ends: "", images: [], mixed: [], sheet: null };

    let from, to, walkButton;
    stage.row(() => {
      from = stage.menu({ name: "from", label: "Walk from", options, value: between[0] });
      to = stage.menu({ name: "to", label: "to", options, value: between[1] });
      walkButton = stage.button("Walk", turn).element;
    });
    const canvas = stage.canvas({ width: 384, aspect: (faded ? 2 : 1) / STILLS });

    const ends = () => [places[Number(from.value)], places[Number(to.value)]];
    const here = () => [from.value, to.value, ...sliders.map(({ value }) => value)].join();

    function step() {
      frame += 1;
      const z = LIVE.along(...ends(), frame / FRAMES);
      sliders.forEach((slider, i) => {
        slider.set(z[i]);
      });
      left = here();
      walking = frame < FRAMES;
      return walking;
    }

    function turn() {
      if (walking) {
        walking = false;
        stage.stop();
        return;
      }
      if (frame === FRAMES) frame = 0;
      walking = true;
      stage.animate(step);
    }

    function shown() {
      const key = `${from.value}-${to.value}`;
      if (strip.ends === key) return strip;
      const shares = LIVE.linspace(0, 1, STILLS);
      const images = shares.map((share) => decode(LIVE.along(...ends(), share)));
      const mixed = shares.map((share) => LIVE.along([...images[0]], [...images.at(-1)], share));
      const sheet = LIVE.sheet(faded ? [...images, ...mixed] : images, STILLS, rows);
      strip = { ends: key, images, mixed, sheet };
      return strip;
    }

    function draw() {
      if (frame > 0 && here() !== left) {
        stage.stop();
        [frame, walking] = [0, false];
      }
      walkButton.textContent = walking ? "Pause" : frame % FRAMES ? "Go on" : "Walk";
      const pen = canvas.context;
      pen.fillStyle = "white";
      pen.fillRect(0, 0, canvas.width, canvas.height);
      pen.imageSmoothingEnabled = rows > 8;
      pen.imageSmoothingQuality = "high";
      pen.drawImage(shown().sheet, 0, 0, canvas.width, canvas.height);
      if (frame > 0) {
        const side = canvas.width / STILLS;
        const place = Math.round((frame / FRAMES) * (STILLS - 1));
        pen.strokeStyle = "#222222";
        pen.lineWidth = 2;
        pen.strokeRect(place * side + 1, 1, side - 2, side - 2);
      }
      canvas.describe(
        `${STILLS} images that the decoder draws on the line from a ${from.value} to a ${to.value}` +
          `${faded ? "; below, the first and the last one mixed pixel by pixel" : ""}.`,
      );
    }

    const line = () => [0, 1].map((axis) => ends().map((end) => end[axis]));
    function values() {
      const { images, mixed } = shown();
      return { ends: ends(), share: frame / FRAMES, walking, images, mixed };
    }
    return { line, draw, values };
  };
})();
