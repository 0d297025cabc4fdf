/* Bits back: one integer is the stack. The encoder pops z, pushes each pixel and pushes z, image after
   image; the decoder undoes the steps one by one, and the bits of the beginning return. The
   numbers: see bits.js and, for digits, bits-digits.js. */
(() => {
  "use strict";
  const LIVE = window.VAE_LIVE;
  const IMAGES = 10;
  const SEED = 10; // of the bits on the stack at the beginning, and of the toy's images
  const MOST_BITS = 64; // at the beginning
  const [SHORT_ROW, LONG_ROW] = [32, 64]; // bits
  const INKS = { "pop z": "encoder", "push x": "decoder", "push z": "prior" };
  const Q = { exact: "p(z|x), exact", encoder: "the encoder’s", prior: "the prior, p(z)" };
  const GREY = "#DDDDDD";
  const unbroken = (words) => words.replaceAll(" ", "\u00a0");
  const bits = (number, decimals = 1) => `${LIVE.number(number, decimals)} bits`;

  /* The same random bits at any count: fewer are the lower ones of more. The highest is 1. */
  LIVE.firstBits = (count) => {
    const random = LIVE.generator(SEED);
    let s = 0n;
    for (let k = 0; k < count; k += 1) {
      s |= BigInt(k === count - 1 || random.uniform() < 0.5 ? 1 : 0) << BigInt(k);
    }
    return s;
  };

  /* Images as the toy model draws them: z from the prior, and each pixel given z. */
  LIVE.toyImages = (coder, count) => {
    const random = LIVE.generator(SEED);
    const drawn = (table) => {
      const slot = Math.floor(random.uniform() * table.at(-1));
      return table.findLastIndex((start) => start <= slot);
    };
    return Array.from({ length: count }, () => coder.pixelTables([drawn(coder.prior)]).map(drawn));
  };

  /* A number that is too long is told by its last digits. */
  function shortened(s) {
    const digits = s.toString();
    return digits.length > 16 ? `…${digits.slice(-6)}` : digits;
  }

  /* The step as it can be checked by hand; backwards the same line is read from right to left. */
  function arithmetic({ kind, start, size, total, before, after }) {
    const [low, high] = kind === "pop z" ? [after, before] : [before, after];
    const F = BigInt(size);
    const push =
      `${shortened(low)} = ${shortened(low / F)}·${size} + ${low % F} → ` +
      `${shortened(low / F)}·${total} + ${start} + ${low % F} = ${shortened(high)}`;
    return kind === "pop z" ? push.replace("→", "←") : push;
  }

  const symbolOf = ({ kind, pixel, latent, symbol }, { levels, latents }) => {
    if (kind !== "push x") return `${latents > 1 ? `z${"₁₂"[latent]}, ` : ""}bucket ${symbol}`;
    const level = levels === 2 ? ["white", "dark"][symbol] : `grey ${symbol}`;
    return `pixel ${pixel + 1}, ${level}`;
  };

  /* Squares of one image, side by side; unknown ones crossed out. */
  function drawImage(canvas, { side, levels, place }, image, [left, top, size], title) {
    const pen = canvas.context;
    const cell = size / side;
    pen.lineWidth = 1;
    image.forEach((level, k) => {
      const [x, y] = [left + cell * (k % side), top + cell * Math.floor(k / side)];
      const ink = level === null ? 0 : level / (levels - 1);
      pen.fillStyle = `rgb(${Array(3)
        .fill(255 - 221 * ink)
        .join(" ")})`;
      pen.fillRect(x, y, cell, cell);
      if (level !== null) return;
      pen.strokeStyle = "#AAAAAA";
      pen.beginPath();
      pen.moveTo(x, y + cell);
      pen.lineTo(x + cell, y);
      pen.stroke();
    });
    pen.strokeStyle = "#888888";
    pen.strokeRect(left, top, size, size);
    if (place !== undefined && place < image.length) {
      pen.strokeStyle = LIVE.INKS.decoder.color;
      pen.lineWidth = 3;
      pen.strokeRect(
        left + cell * (place % side),
        top + cell * Math.floor(place / side),
        cell,
        cell,
      );
    }
    caption(pen, title, left + size / 2, top + size + 11);
  }

  function caption(pen, words, x, y, color = LIVE.INKS.data.color) {
    pen.font = LIVE.FONT;
    pen.fillStyle = color;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(words, x, y);
  }

  /* The lowest and the highest bucket of a latent that q cares for, eight at least. */
  function windowOf(cells, latent, buckets) {
    const most = Math.max(...cells.map(({ mass }) => mass));
    const seen = cells.filter(({ mass }) => mass > most * 1e-3).map(({ z }) => z[latent]);
    const middle = Math.floor((Math.min(...seen) + Math.max(...seen)) / 2);
    const reach = Math.max(4, Math.max(...seen) - middle);
    return [Math.max(0, middle - reach + 1), Math.min(buckets - 1, middle + reach)];
  }

  /* The buckets of z, as deep an orange as q has mass there; framed in blue those where z may be. Of
     many only those are drawn where q has mass. */
  function drawBuckets(canvas, { latents, buckets }, cells, known, box, title) {
    const pen = canvas.context;
    const [left, top, width, height] = box;
    const [a0, a1] = windowOf(cells, 0, buckets);
    const [b0, b1] = latents > 1 ? windowOf(cells, 1, buckets) : [0, 0];
    const [columns, rows] = [a1 - a0 + 1, b1 - b0 + 1];
    const cell = Math.min(width / columns, height / rows);
    const x0 = left + (width - cell * columns) / 2;
    const y0 = top + (height - cell * rows) / 2;
    const most = Math.max(...cells.map(({ mass }) => mass));
    pen.save();
    pen.beginPath();
    pen.rect(x0 - 2, y0 - 2, cell * columns + 4, cell * rows + 4);
    pen.clip();
    const square = ([a, b = 0], wide = 1, tall = 1) => [
      x0 + cell * (a - a0),
      y0 + cell * (b1 - b - tall + 1),
      cell * wide,
      cell * tall,
    ];
    pen.lineWidth = 1;
    pen.strokeStyle = GREY;
    pen.fillStyle = LIVE.INKS.encoder.color;
    for (const { z, mass } of cells) {
      pen.globalAlpha = mass / most;
      pen.fillRect(...square(z));
      pen.globalAlpha = 1;
      if (columns <= 16) pen.strokeRect(...square(z));
    }
    pen.strokeRect(x0, y0, cell * columns, cell * rows);
    pen.strokeStyle = LIVE.INKS.prior.color;
    pen.lineWidth = 3;
    const [a, b] = known;
    if (a !== undefined && (b !== undefined || latents === 1)) pen.strokeRect(...square(known));
    else if (a !== undefined) pen.strokeRect(...square([a, b0], 1, rows));
    else if (b !== undefined) pen.strokeRect(...square([a0, b], columns));
    pen.restore();
    caption(pen, title, left + width / 2, top + height + 11);
  }

  /* The number itself, its highest bit first; with its digits where they are few. */
  function drawBits(canvas, s) {
    const pen = canvas.context;
    const digits = s === 0n ? "" : s.toString(2);
    const few = digits.length <= 3 * SHORT_ROW;
    const row = few ? SHORT_ROW : LONG_ROW;
    const wide = canvas.width / row;
    const tall = Math.min(20, canvas.height / Math.ceil(digits.length / row));
    pen.fillStyle = "white";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    for (let k = 0; k < digits.length; k += 1) {
      const [x, y] = [wide * (k % row), tall * Math.floor(k / row)];
      const one = digits[k] === "1";
      pen.fillStyle = one ? LIVE.INKS.data.color : GREY;
      pen.fillRect(x, y, wide - 0.75, tall - 0.75);
      if (few) caption(pen, digits[k], x + wide / 2, y + tall / 2, one ? "white" : "#222222");
    }
  }

  /* The stack's length after every step that the encoder has done, and what −ELBO foretold. */
  function drawPath(chart, coder, lengths, foretold, reached, now) {
    const { latents, pixels } = coder;
    const steps = LIVE.stepsOf(coder);
    const images = Math.min(IMAGES, Math.max(3, Math.ceil(reached / steps)));
    const top = Math.max(foretold.elbo[images], ...lengths.slice(0, reached + 1));
    chart.range([0, images], [0, 1.5 * top]);
    chart.clear();
    const whole = LIVE.linspace(0, images, images + 1);
    chart.line(whole, foretold.evidence.slice(0, images + 1), "data", [2, 3]);
    chart.line(whole, foretold.elbo.slice(0, images + 1), "encoder", [2, 3]);
    const ends = [0, latents, latents + pixels, steps];
    for (let begin = 0; begin < reached; begin += steps) {
      Object.values(INKS).forEach((ink, part) => {
        const [from, to] = [begin + ends[part], Math.min(begin + ends[part + 1], reached)];
        if (to <= from) return;
        const places = LIVE.linspace(from, to, to - from + 1);
        const xs = places.map((place) => place / steps);
        chart.line(
          xs,
          places.map((place) => lengths[place]),
          ink,
          [],
        );
      });
    }
    chart.disc(now / steps, lengths[now], 5, { fill: "data", edge: "white", width: 1.5 });
    chart.key([
      ["encoder", "pop z; dotted: −ELBO", []],
      ["decoder", "push the pixels", []],
      ["prior", "push z", []],
      ["data", "−log₂ p(x), the least", [2, 3]],
    ]);
  }

  LIVE.figure("bits-back", (stage) => {
    const coders = { toy: LIVE.toyCoder(), digit: LIVE.digitCoder() };
    const images = {
      toy: LIVE.toyImages(coders.toy, IMAGES),
      digit: LIVE.digitImages(IMAGES),
    };
    let coder, states, lengths, foretold; // of the setting of now
    let setting = ""; // which they belong to
    let at = 0; // steps that are done
    let reached = 0; // by the encoder
    let state, step; // what the coder knows now, and what it did last
    let backwards = false;

    stage.column();
    let onwards, back, allBack;
    /* Lets the step move to a place, a frame each, or several where there are many. */
    function run(place) {
      const pace = Math.max(1, Math.round(Math.abs(place - at) / 70));
      const wanted = Math.max(0, Math.min(place, states.length - 1));
      stage.animate(() => {
        const left = wanted - position.value;
        position.set(position.value + Math.sign(left) * Math.min(pace, Math.abs(left)));
        return position.value !== wanted;
      });
    }
    const steps = () => LIVE.stepsOf(coder);
    /** @type {Movable} */
    const position = {
      ...{ step: 1, home: 0, value: 0 },
      set: (wanted) => {
        position.value = Math.max(0, Math.min(Math.round(wanted), states.length - 1));
      },
    };
    const chart = stage.chart({
      width: 380,
      aspect: 0.56,
      x: { range: [0, 3], label: "images", ticks: LIVE.linspace(0, IMAGES, IMAGES + 1) },
      y: { range: [0, 40], label: "length of the stack, bits", room: 56 },
    });
    stage.row(() => {
      onwards = stage.button("Step", () => position.set(at + 1));
      stage.button("Image", () => run((Math.floor(at / steps()) + 1) * steps()));
      back = stage.button("Undo", () => position.set(at - 1));
      allBack = stage.button("Undo all", () => run(0));
    });
    const length = stage.readout("s, the stack");
    const number = stage.canvas({ width: 380, height: 84 });

    stage.column({ pinned: true });
    const pictures = stage.canvas({ width: 380, height: 104 });
    const lines = {
      step: stage.readout("last step"),
      table: stage.readout(""),
      sum: stage.readout(""),
      cost: stage.readout("cost"),
      decoder: stage.readout("s as the encoder had it"),
    };

    stage.column();
    const model = stage.choice({
      name: "images",
      label: "Images",
      options: { toy: "2 by 2 pixels", digit: "digits, 8 by 8" },
      value: "toy",
    });
    const q = stage.choice({ name: "q", label: "z is popped from", options: Q, value: "exact" });
    const first = stage.slider({
      ...{ name: "first", label: "bits at first", decimals: 0 },
      ...{ minimum: 0, maximum: MOST_BITS, step: 1, value: 8 },
    });
    stage.pad({ ...chart, fromX: (px) => chart.fromX(px) * steps() }, position, null);
    stage.keep(
      "step",
      () => String(position.value),
      (text) => {
        position.value = /^\d{1,4}$/.test(text) ? Number(text) : 0; // prepare keeps it in range
      },
    );

    /* Encodes everything anew where the setting has changed, and stands where the encoder would. */
    function prepare() {
      const wanted = [model.value, q.value, first.value].join();
      if (wanted === setting) return;
      const follows = setting && !setting.startsWith(model.value) && position.value === at;
      const done = follows ? Math.floor(at / steps()) : 0; // images: the other model has as many
      setting = wanted;
      coder = coders[model.value];
      states = LIVE.encode(coder, q.value, images[model.value], LIVE.firstBits(first.value));
      lengths = states.map(({ s }) => LIVE.log2(s));
      position.set(follows ? done * steps() : position.value);
      foretold = { elbo: [first.value], evidence: [first.value] };
      for (const each of images[model.value]) {
        const found = LIVE.lengths(coder, q.value, each);
        for (const [name, sums] of Object.entries(foretold)) sums.push(sums.at(-1) + found[name]);
      }
      at = position.value;
      reached = at;
      state = states[at];
      step = null;
      backwards = false;
      if (at === 0) return;
      const before = states[at - 1];
      const from = before.place === steps() ? LIVE.begin(coder, before.s) : before;
      const image = images[model.value][Math.floor((at - 1) / steps())];
      step = LIVE.forwards(coder, q.value, image, from).step;
    }

    /* From where the coder stands to where it shall be, each step done for itself. */
    function move() {
      while (at !== position.value) {
        backwards = position.value < at;
        const image = Math.floor((backwards ? at - 1 : at) / steps());
        if (backwards && state.place === 0) state = LIVE.end(coder, state.s);
        if (!backwards && state.place === steps()) state = LIVE.begin(coder, state.s);
        const go = backwards ? LIVE.backwards : LIVE.forwards;
        ({ state, step } = go(coder, q.value, images[model.value][image], state));
        at += backwards ? -1 : 1;
        reached = Math.max(reached, at);
      }
    }

    stage.update(() => {
      prepare();
      position.set(position.value); // an address may ask for more steps than there are
      move();
      const turn = backwards ? at : at - 1; // the step that was done or undone last
      const index = Math.max(0, Math.min(IMAGES - 1, Math.floor(turn / steps())));
      const image = images[model.value][index];
      const same = state.s === states[at].s;
      const done = Math.floor(at / steps());
      const net = LIVE.bitLength(state.s) - first.value;
      drawPath(chart, coder, lengths, foretold, reached, at);
      drawBits(number, state.s);
      drawPictures(image, index);
      show(same, done, net);
      stage.values = {
        ...{ model: model.value, q: q.value, first: first.value, at, reached, backwards, same },
        ...{ stack: state.s.toString(), length: LIVE.bitLength(state.s), place: state.place },
        ...{ image, decoded: state.image, z: state.z, foretold, step: step && told() },
      };
      return sentence(same, index, done, net);
    });

    const told = () => ({ ...step, before: String(step.before), after: String(step.after) });

    function drawPictures(image, index) {
      const pen = pictures.context;
      const size = 76;
      const right = pictures.width - size - 4;
      pen.fillStyle = "white";
      pen.fillRect(0, 0, pictures.width, pictures.height);
      const lit = step?.kind === "push x" ? step.pixel : undefined;
      drawImage(pictures, { ...coder, place: lit }, image, [4, 4, size], `image ${index + 1}`);
      const box = [size + 20, 4, right - size - 36, size];
      const cells = LIVE.joint(coder, q.value, image);
      drawBuckets(pictures, coder, cells, state.z, box, "q, and the bucket of z");
      drawImage(pictures, coder, state.image, [right, 4, size], "decoded");
    }

    function show(same, done, net) {
      lines.step.show(step ? `${named()} ${symbolOf(step, coder)}` : "none yet");
      const slots =
        step &&
        `start ${step.start}, F = ${step.size}, of ${step.total < 1e6 ? step.total : "2²⁴"}`;
      const shares = step && bits(Math.log2(step.total / step.size));
      lines.table.show(step ? unbroken(`${slots}: ${shares}`) : "");
      lines.sum.show(step && coder.latents === 1 ? arithmetic(step) : "");
      const count = LIVE.bitLength(state.s);
      length.show(unbroken(count > 53 ? `${count} bits` : `${state.s}, ${count} bits`));
      const due = foretold.elbo[done] - first.value;
      lines.cost.show(at % steps() ? "–" : unbroken(`${net} bits; −ELBO ${bits(due)}`));
      lines.decoder.show(backwards ? `${same ? "✓ yes" : "no"}, every bit` : "–");
      const undo = [back.element, allBack.element];
      const left = at === 0 && undo.includes(document.activeElement);
      for (const button of undo) button.disabled = at === 0;
      if (left) onwards.element.focus(); // what is disabled cannot keep it
    }

    function named() {
      if (!backwards) return step.kind;
      return step.kind === "pop z" ? "undo: push z" : step.kind.replace("push", "undo: pop");
    }

    function sentence(same, index, done, net) {
      const length = LIVE.bitLength(state.s);
      const due = bits(foretold.elbo[done] - first.value);
      const least = bits(foretold.evidence[done] - first.value);
      const last = step ? `${named()}, ${symbolOf(step, coder)}` : "no step yet";
      const whole =
        at % steps() === 0
          ? ` ${done} images have taken ${net} bits; −ELBO is ${due}, −log₂ p(x) ${least}.`
          : ` In image ${index + 1}.`;
      const undone = backwards
        ? ` The stack is ${same ? "" : "not "}what the encoder had here, to the last bit.`
        : "";
      const words = `Step ${at}: ${last}. The stack has ${length} bits.${whole}${undone}`;
      chart.canvas.describe(
        `The stack’s length in bits over the images. ${words} The right and left arrow keys do a ` +
          "step and undo one, with shift ten; Home goes back to the beginning.",
      );
      number.describe(`The ${length} bits of the stack, the highest first.`);
      pictures.describe(
        `Image ${index + 1}; the ${coder.buckets} buckets of z, as deep as ${Q[q.value]} has mass ` +
          "there, z ringed; and what the decoder has of the image.",
      );
      return words;
    }
  });
})();
