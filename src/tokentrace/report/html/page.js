// Charts, the chosen turn, keyboard and theme. What is foreign goes in as text, never as markup.
(() => {
  "use strict";
  const root = document.documentElement;

  const SHOWN = 7; // components in the tip
  const MARKS = [
    // rows above the chart: what they are called, which events, shape, colour
    ["excluded", ["excluded"], "down", "excluded"],
    ["compressed", ["compressed"], "diamond", "compressed"],
    ["warned", ["warning"], "ring", "warning"],
    ["over, refused, failed", ["exceeded", "refused", "failed"], "cross", "exceeded"],
    ["low use", ["low_utilization"], "dash", "dim"],
    ["figures disagree", ["disagreement"], "square", "disagreement"],
  ];
  const LANE = 17; // pixels of such a row
  const says = (event) => (event.says || event.kind) + (event.name ? " " + event.name : "");
  const BIG = new Intl.NumberFormat("en-US");
  const SURE = ["exact", "provider"];

  const tokens = (n) => (n === undefined || n === null ? "–" : BIG.format(n));
  const signed = (n) => (n > 0 ? "+" : "") + tokens(n || 0);
  const percent = (share) => (share === undefined ? "–" : (100 * share).toFixed(1) + "%");
  const sure = (row) => !row.method || SURE.includes(row.method);
  const size = (row) =>
    (sure(row) ? "" : "~") + tokens(row.total || 0) + (row.error ? " ±" + tokens(row.error) : "");
  const cache = (call) => // which component broke the cached prefix, and how, or why nothing was read
    [call.cache_broken_by ? "cache broken by " + call.cache_broken_by : "cache", (call.cache_reason || "").replaceAll("_", " ")]
      .filter(Boolean).join(": ");
  const bare = (name) => name.replace(/^section\.(?=.)/, "");
  const many = (n, thing) => tokens(n) + " " + thing + (n === 1 ? "" : "s");
  const short = (n) => (n >= 1e6 ? +(n / 1e6).toFixed(2) + "M" : n >= 1e4 ? +(n / 1e3).toFixed(1) + "k" : BIG.format(n));

  function make(tag, className, ...inside) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.append(...inside.filter((one) => one !== "" && one !== undefined && one !== null));
    return made;
  }

  function colour(className, property = "color") {
    const probe = make("span", className);
    root.append(probe);
    const found = getComputedStyle(probe)[property];
    probe.remove();
    return found;
  }

  // ── shapes of what happened ──────────────────────────────────────────────────────────────────

  function shape(ctx, form, x, y, r) {
    ctx.beginPath();
    if (form === "down") {
      ctx.moveTo(x - r, y - r * 0.75);
      ctx.lineTo(x + r, y - r * 0.75);
      ctx.lineTo(x, y + r * 0.95);
      ctx.fill();
    } else if (form === "diamond") {
      ctx.moveTo(x, y - r);
      ctx.lineTo(x + r, y);
      ctx.lineTo(x, y + r);
      ctx.lineTo(x - r, y);
      ctx.fill();
    } else if (form === "ring") {
      ctx.arc(x, y, r * 0.72, 0, 2 * Math.PI);
      ctx.stroke();
    } else if (form === "square") {
      ctx.strokeRect(x - r * 0.65, y - r * 0.65, r * 1.3, r * 1.3);
    } else if (form === "cross") {
      const d = r * 0.75;
      ctx.moveTo(x - d, y - d);
      ctx.lineTo(x + d, y + d);
      ctx.moveTo(x + d, y - d);
      ctx.lineTo(x - d, y + d);
      ctx.stroke();
    } else {
      ctx.moveTo(x - r, y);
      ctx.lineTo(x + r, y);
      ctx.stroke();
    }
  }

  // ── one session ──────────────────────────────────────────────────────────────────────────────

  class Session {
    constructor(section) {
      this.section = section;
      this.key = section.id;
      const data = JSON.parse(section.querySelector("script.data").textContent);
      Object.assign(this, { turns: data.turns, layers: data.layers, top: data.top });
      this.slots = new Map(data.slots);
      this.rows = section.querySelectorAll(".turns tbody tr");
      this.live = section.querySelector(".live");
      this.panel = section.querySelector(".turn");
      this.charts = [];
      this.alone = null;
      this.chosen = this.turns.reduce((peak, turn, at, all) => ((turn.total || 0) > (all[peak].total || 0) ? at : peak), 0);
      this.marks = MARKS.filter(([, kinds]) =>
        this.turns.some((turn) => (turn.events || []).some((event) => kinds.includes(event.kind))),
      );
      if (!this.turns.length) return;
      this.frame();
      this.legend();
      this.table();
      this.panel.hidden = false;
    }

    frame() {
      this.plot = make("div", "plot");
      this.plot.tabIndex = 0;
      this.plot.setAttribute("role", "slider");
      this.plot.setAttribute("aria-label", "Turn");
      this.plot.setAttribute("aria-valuemin", "1");
      this.plot.setAttribute("aria-valuemax", String(this.turns.length));
      this.plot.addEventListener("keydown", (event) => this.key_(event));
      this.tip = make("div", "tip");
      this.tip.hidden = true;
      this.live.append(this.plot, this.tip);
      this.live.hidden = false;
      new ResizeObserver(() => this.resize()).observe(this.live);
    }

    key_(event) {
      const page = Math.max(2, Math.round(this.turns.length / 10));
      const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -page, PageUp: page };
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      if (event.key in steps) this.choose(this.chosen + steps[event.key]);
      else if (event.key === "Home") this.choose(0);
      else if (event.key === "End") this.choose(this.turns.length - 1);
      else return;
      event.preventDefault();
    }

    // ── table and legend ───────────────────────────────────────────────────────────────────────

    table() {
      const body = this.section.querySelector(".turns tbody");
      const place = (event) => [].indexOf.call(this.rows, event.target.closest("tr"));
      body.addEventListener("click", (event) => {
        if (place(event) >= 0) this.choose(place(event));
      });
      body.addEventListener("keydown", (event) => {
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        const home = { Home: 0, End: this.rows.length - 1 }[event.key];
        const to = step ? this.chosen + step : home;
        if (to === undefined || place(event) < 0) return;
        event.preventDefault();
        this.choose(to);
        this.rows[this.chosen].focus();
      });
    }

    legend() {
      const list = this.section.querySelector(".legend");
      list.replaceChildren();
      this.alone = null;
      this.values = new Map();
      for (const [name, slot] of [...this.layers].reverse()) {
        const value = make("b");
        const button = make("button", "", make("i", "b" + slot), bare(name), value);
        button.type = "button";
        button.title = "Show " + name + " alone";
        button.setAttribute("aria-pressed", "false");
        button.addEventListener("click", () => {
          this.alone = this.alone === name ? null : name;
          for (const other of list.querySelectorAll("button")) {
            other.setAttribute("aria-pressed", String(other === button && this.alone !== null));
          }
          this.draw();
        });
        this.values.set(name, value);
        list.append(make("li", "", button));
      }
      for (const [name, , form, tone] of this.marks) list.append(make("li", "sign", this.sign(form, tone), name));
    }

    sign(form, tone) {
      const canvas = make("canvas", tone);
      const ratio = devicePixelRatio || 1;
      canvas.width = canvas.height = 13 * ratio;
      canvas.style.width = canvas.style.height = "13px";
      canvas.style.verticalAlign = "-2px";
      canvas.setAttribute("aria-hidden", "true");
      requestAnimationFrame(() => {
        const ctx = canvas.getContext("2d");
        ctx.fillStyle = ctx.strokeStyle = getComputedStyle(canvas).color;
        ctx.lineWidth = 2 * ratio;
        shape(ctx, form, 6.5 * ratio, 6.5 * ratio, 5 * ratio);
      });
      return canvas;
    }

    // ── charts ─────────────────────────────────────────────────────────────────────────────────

    resize() {
      const width = this.live.clientWidth;
      if (width && this.charts.length && width !== this.charts[0].width) {
        for (const chart of this.charts) chart.setSize({ width, height: chart.height });
      }
    }

    draw() {
      for (const chart of this.charts) chart.destroy();
      this.charts = [];
      if (!this.turns.length || !this.live.clientWidth) return;
      this.look = {
        line: colour("probe-line", "borderTopColor"),
        dim: colour("dim"),
        ink: colour(""),
        panel: colour("probe-panel", "backgroundColor"),
        chosen: colour("probe-mark", "backgroundColor"),
        limit: colour("probe-limit"),
        near: colour("kind warning"),
      };
      this.charts.push(this.stack());
      if (this.turns.some((turn) => turn.utilization !== undefined)) this.charts.push(this.share());
    }

    options(height, top, more) {
      const axis = { stroke: this.look.dim, font: "12px system-ui, sans-serif", grid: { stroke: this.look.line, width: 1 }, ticks: { show: false } };
      const count = this.turns.length;
      return {
        width: this.live.clientWidth,
        height,
        padding: [top, 8, 0, 0],
        legend: { show: false },
        cursor: {
          y: false,
          points: { show: false },
          drag: { x: false, y: false, setScale: false },
          sync: { key: this.key },
        },
        scales: { x: { time: false, range: () => [-0.5, count - 0.5] }, y: { range: more.range } },
        axes: [
          {
            ...axis, size: more.quiet ? 6 : 28, gap: 4, space: 42, incrs: [1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000],
            grid: { show: false },
            values: more.quiet ? () => [] : (_, splits) => splits.map((at) => (Number.isInteger(at) && this.turns[at] ? String(this.turns[at].number) : "")),
          },
          { ...axis, size: 58, gap: 6, ...more.axis },
        ],
        series: [{}, ...more.series],
        hooks: {
          drawClear: [(chart) => this.band(chart)],
          draw: [...more.over, (chart) => this.needle(chart)],
          setCursor: [(chart) => this.hover(chart)],
          ready: [(chart) => this.listen(chart)],
        },
      };
    }

    stack() {
      const shown = this.alone === null ? this.layers : this.layers.filter(([name]) => name === this.alone);
      const sums = [];
      let below = new Array(this.turns.length).fill(0);
      for (const [, , sizes] of shown) {
        below = below.map((sum, place) => sum + sizes[place]);
        sums.push(below);
      }
      const top = this.alone === null ? this.top : Math.max(1, ...below) * 1.05;
      const wide = (this.live.clientWidth - 66) / this.turns.length;
      const bars = uPlot.paths.bars({ size: [wide < 4 ? 1 : 0.78, 64], align: 0 });
      // the tallest first: each covers all of the one before but its own share
      const order = shown.map((layer, place) => [layer, sums[place]]).reverse();
      const options = this.options(250 + LANE * this.marks.length, 6 + LANE * this.marks.length, {
        range: () => [0, top],
        axis: { values: (_, splits) => splits.map(short) },
        quiet: false,
        series: order.map(([[name, slot]]) => ({
          label: name, paths: bars, points: { show: false }, fill: colour("b" + slot, "backgroundColor"),
          stroke: this.look.panel, width: wide < 7 ? 0 : 1,
        })),
        over: [(chart) => this.limit(chart, top), (chart) => this.lanes(chart)],
      });
      return new uPlot(options, [this.turns.map((_, place) => place), ...order.map(([, sizes]) => sizes)], this.plot);
    }

    share() {
      const values = this.turns.map((turn) => (turn.utilization === undefined ? null : 100 * turn.utilization));
      const top = Math.max(100, ...values) * 1.06;
      const options = this.options(112, 8, {
        range: () => [0, top],
        axis: { splits: () => [0, 50, 80, 100], values: (_, splits) => splits.map((at) => at + "%") },
        quiet: true,
        series: [{
          label: "utilization", stroke: this.look.dim, width: 2, spanGaps: false,
          points: { show: this.turns.length < 120, size: 6, fill: this.look.dim },
        }],
        over: [(chart) => this.rule(chart, 80, this.look.near), (chart) => this.rule(chart, 100, this.look.limit)],
      });
      if (!this.plot.querySelector("h4")) this.plot.append(make("h4", "", "Utilization ", make("span", "dim", "share of the limit")));
      return new uPlot(options, [this.turns.map((_, place) => place), values], this.plot);
    }

    band(chart) {
      const { ctx, bbox } = chart;
      const left = chart.valToPos(this.chosen - 0.5, "x", true);
      const right = chart.valToPos(this.chosen + 0.5, "x", true);
      const pad = Math.max(0, 3 - (right - left) / 2);
      ctx.save();
      ctx.fillStyle = this.look.chosen;
      ctx.fillRect(left - pad, 0, right - left + 2 * pad, bbox.top + bbox.height);
      ctx.restore();
    }

    needle(chart) {
      // where bars are too thin for the band behind them to be seen
      const { ctx, bbox } = chart;
      const x = chart.valToPos(this.chosen, "x", true);
      if (bbox.width / this.turns.length > 6 * devicePixelRatio) return;
      ctx.save();
      ctx.fillStyle = this.look.ink;
      ctx.fillRect(x - devicePixelRatio / 2, 0, devicePixelRatio, bbox.top + bbox.height);
      ctx.restore();
    }

    rule(chart, value, stroke) {
      const { ctx, bbox } = chart;
      const y = chart.valToPos(value, "y", true);
      ctx.save();
      ctx.strokeStyle = stroke;
      ctx.lineWidth = 1.5 * devicePixelRatio;
      ctx.setLineDash([6 * devicePixelRatio, 5 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.restore();
    }

    limit(chart, top) {
      if (this.alone !== null) return;
      const { ctx } = chart;
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = this.look.limit;
      ctx.lineWidth = 2 * devicePixelRatio;
      ctx.setLineDash([7 * devicePixelRatio, 5 * devicePixelRatio]);
      ctx.beginPath();
      let before = null, first = null;
      this.turns.forEach((turn, place) => {
        const now = turn.limit <= top ? turn.limit : null;
        if (now !== null) {
          const y = chart.valToPos(now, "y", true);
          const left = chart.valToPos(place - 0.5, "x", true);
          if (before === null) ctx.moveTo(left, y);
          else ctx.lineTo(left, y);
          ctx.lineTo(chart.valToPos(place + 0.5, "x", true), y);
          if (first === null) first = [left, y, now];
        }
        before = now;
      });
      ctx.stroke();
      if (first) {
        ctx.font = 600 + " " + 12 * devicePixelRatio + "px system-ui, sans-serif";
        ctx.textAlign = "left";
        const words = "limit " + tokens(first[2]);
        const [x, y] = [first[0] + 6 * devicePixelRatio, first[1] + 15 * devicePixelRatio];
        ctx.fillText(words, x, y);
      }
      ctx.restore();
    }

    lanes(chart) {
      const { ctx, bbox } = chart;
      const ratio = devicePixelRatio;
      ctx.save();
      ctx.lineWidth = 2 * ratio;
      this.marks.forEach(([name, kinds, form, tone], row) => {
        const y = (row + 0.62) * LANE * ratio;
        ctx.fillStyle = ctx.strokeStyle = this.look.line;
        ctx.fillRect(bbox.left, y - 0.5 * ratio, bbox.width, ratio);
        ctx.fillStyle = ctx.strokeStyle = colour(tone);
        this.turns.forEach((turn, place) => {
          if ((turn.events || []).some((event) => kinds.includes(event.kind))) {
            shape(ctx, form, chart.valToPos(place, "x", true), y, 5 * ratio);
          }
        });
      });
      ctx.restore();
    }

    listen(chart) {
      chart.over.addEventListener("click", () => {
        if (chart.cursor.idx !== null && chart.cursor.idx !== undefined) this.choose(chart.cursor.idx);
      });
      chart.over.addEventListener("mouseleave", () => this.hover(null));
    }

    // ── the turn under the pointer ─────────────────────────────────────────────────────────────

    hover(chart) {
      const place = chart && chart.cursor.left >= 0 ? chart.cursor.idx : null;
      if (place === null || place === undefined || !this.turns[place]) {
        this.tip.hidden = true;
        this.fill(this.chosen);
        return;
      }
      this.fill(place);
      if (this.tip.hidden || this.tip.place !== place) this.say(place);
      this.tip.hidden = false;
      const at = chart.over.offsetLeft + chart.cursor.left;
      const room = this.live.clientWidth - this.tip.offsetWidth;
      const left = at + 18 > room ? at - this.tip.offsetWidth - 18 : at + 18;
      this.tip.style.left = Math.max(0, Math.min(left, room)) + "px";
      this.tip.style.top = 8 + LANE * this.marks.length + "px";
    }

    say(place) {
      const turn = this.turns[place];
      const line = (name, value, slot, className) =>
        make("p", className, make("span", "", slot === undefined ? "" : make("i", "b" + slot), name), make("span", "", value));
      const parts = (turn.components || []).slice(0, SHOWN);
      const rest = (turn.components || []).slice(SHOWN);
      this.tip.replaceChildren(
        line("turn " + turn.number, size(turn), undefined, "lead"),
        line(turn.utilization === undefined ? "no limit known" : percent(turn.utilization) + " of " + tokens(turn.limit), turn.delta === undefined ? "" : signed(turn.delta), undefined, "dim"),
        ...parts.map(([name, n]) => line(bare(name), tokens(n), this.slots.get(name) ?? 12)),
        ...(rest.length ? [line(many(rest.length, "other"), tokens(rest.reduce((sum, [, n]) => sum + n, 0)), 12)] : []),
        ...(turn.events || []).slice(0, 3).map((event) => make("p", "", make("span", "kind " + event.kind, says(event)))),
      );
      this.tip.place = place;
    }

    fill(place) {
      for (const [name, , sizes] of this.layers) this.values.get(name).textContent = tokens(sizes[place]);
    }

    // ── the chosen turn ────────────────────────────────────────────────────────────────────────

    choose(place) {
      if (!this.turns.length) return;
      this.rows[this.chosen].removeAttribute("aria-current");
      this.rows[this.chosen].tabIndex = -1;
      this.chosen = Math.max(0, Math.min(this.turns.length - 1, place));
      const turn = this.turns[this.chosen];
      const row = this.rows[this.chosen];
      row.setAttribute("aria-current", "true");
      row.tabIndex = 0;
      const box = row.closest(".scroll");
      const head = box.querySelector("thead").offsetHeight;
      if (row.offsetTop - head < box.scrollTop) box.scrollTop = row.offsetTop - head;
      else if (row.offsetTop + row.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = row.offsetTop + row.offsetHeight - box.clientHeight;
      this.plot.setAttribute("aria-valuenow", String(this.chosen + 1));
      this.plot.setAttribute("aria-valuetext", this.words(turn));
      this.fill(this.chosen);
      this.breakdown(turn);
      for (const chart of this.charts) chart.redraw(false);
    }

    words(turn) {
      const events = (turn.events || []).map(says);
      const share = turn.utilization === undefined ? "" : ", " + percent(turn.utilization) + " of the limit";
      return "turn " + turn.number + ", " + size(turn) + " tokens" + share + (events.length ? ", " + events.slice(0, 5).join(", ") : "");
    }

    breakdown(turn) {
      const step = (sign, by, name) => {
        const button = make("button", "", sign);
        button.type = "button";
        button.setAttribute("aria-label", name);
        button.disabled = this.turns[this.chosen + by] === undefined;
        button.addEventListener("click", () => {
          this.choose(this.chosen + by);
          const again = this.panel.querySelectorAll(".steps button")[by < 0 ? 0 : 1];
          (again.disabled ? this.plot : again).focus();
        });
        return button;
      };
      const steps = make("div", "steps", step("‹", -1, "Turn before"), step("›", 1, "Turn after"));
      const facts = [
        turn.utilization === undefined ? "no limit known" : percent(turn.utilization) + " of " + tokens(turn.limit),
        turn.headroom === undefined ? "" : tokens(Math.abs(turn.headroom)) + (turn.headroom < 0 ? " over" : " left"),
        turn.delta === undefined ? "" : signed(turn.delta) + " since the turn before",
      ];
      const more = [
        turn.method ? "count " + turn.method + (turn.error ? ", at most ±" + tokens(turn.error) : "") : "",
        turn.model,
        turn.decision ? "guard: " + turn.decision : "",
        turn.forecast === undefined ? "" : "limit in about " + turn.forecast.toFixed(1) + " turns",
        turn.reported && turn.reported.input !== undefined ? "reported " + tokens(turn.reported.input) + " (drift " + signed(turn.drift) + ")" : "",
      ];
      this.panel.replaceChildren(
        make("div", "line", make("h3", "", "Turn " + turn.number), steps),
        make("p", "sum", size(turn), " ", make("small", "dim", "tokens · " + facts.filter(Boolean).join(" · "))),
        make("p", "dim", make("small", "", more.filter(Boolean).join(" · "))),
        ...this.components(turn),
        ...this.happened(turn),
        ...this.calls(turn),
      );
    }

    components(turn) {
      const found = turn.components || [];
      const before = new Map((this.turns[this.chosen - 1] || {}).components || []);
      const most = Math.max(1, ...found.map(([, n]) => n));
      const cached = new Map(turn.cached || []);
      const bar = (name, n, slot) => {
        const inner = make("div", "b" + slot);
        inner.style.width = (100 * n) / most + "%";
        const delta = this.chosen ? n - (before.get(name) || 0) : 0;
        const label = make("span", "", bare(name));
        label.title = name + (cached.get(name) ? ", " + tokens(cached.get(name)) + " cached" : "");
        return make("div", "bar", label, make("div", "track", inner), make("span", "", tokens(n)), make("span", "dim", delta ? signed(delta) : ""));
      };
      const rows = [];
      for (const [name, n] of found) {
        rows.push(bar(name, n, this.slots.get(name) ?? 12));
        for (const detail of (turn.details || []).filter((one) => one.component === name)) {
          const label = make("span", "", detail.name);
          label.title = detail.name;
          rows.push(make("div", "bar inner", label, make("span"), make("span", "", tokens(detail.tokens)), make("span")));
        }
      }
      for (const [name, n] of before) {
        if (!found.some(([other]) => other === name)) {
          rows.push(make("div", "bar", make("span", "dim", bare(name)), make("div", "track"), make("span", "dim", "0"), make("span", "dim", signed(-n))));
        }
      }
      return rows.length ? [make("h4", "", "Components ", make("span", "dim", this.chosen ? "and change" : "")), ...rows] : [];
    }

    happened(turn) {
      const found = turn.events || [];
      if (!found.length) return [];
      const rows = found.map((event) => {
        const kind = make("span", "kind " + event.kind, event.says || event.kind);
        const words = [event.name, event.what, event.why].filter(Boolean).join(" · ");
        return make("li", "", kind, " " + words);
      });
      if (turn.events_left_out) rows.push(make("li", "dim", "and " + tokens(turn.events_left_out) + " more"));
      return [make("h4", "", "What happened"), make("ul", "events", ...rows)];
    }

    calls(turn) {
      const rows = (turn.calls || []).map((call) => {
        const words = [
          size(call) + " in", call.reported && call.reported.output ? tokens(call.reported.output) + " out" : "",
          call.reported && call.reported.cache_read ? tokens(call.reported.cache_read) + " from cache" : "",
          call.duration_ms ? tokens(call.duration_ms) + " ms" : "", call.decision ? "guard: " + call.decision : "",
          call.duplicate_tokens ? tokens(call.duplicate_tokens) + " stand twice" : "",
          call.cache_reason || call.cache_broken_by ? cache(call) : "", call.error_type,
        ];
        return make("li", "", make("b", "", [call.agent, call.model].filter(Boolean).join(" · ") || "call"), " " + words.filter(Boolean).join(" · "));
      });
      if (turn.calls_left_out) rows.push(make("li", "dim", "and " + many(turn.calls_left_out, "more call")));
      const rooms = (turn.contexts || []).map((room) =>
        make("li", "", make("b", "", "assembly " + (room.name || "")), " " + [
          tokens(room.included || 0) + " included", room.excluded ? tokens(room.excluded) + " excluded" : "",
          room.compressed ? tokens(room.compressed) + " saved" : "", room.budget ? "budget " + tokens(room.budget) : "",
          room.lost ? many(room.lost, "tag") + " not found" : "",
        ].filter(Boolean).join(" · ")));
      const all = [...rooms, ...rows];
      return all.length ? [make("h4", "", rows.length === 1 ? "Call" : "Calls"), make("ul", "events", ...all)] : [];
    }
  }

  // ── the page ─────────────────────────────────────────────────────────────────────────────────

  const sections = [...document.querySelectorAll("section.session")];
  const made = new Map();
  let current = null;

  function show(section) {
    for (const other of sections) other.hidden = other !== section;
    root.classList.add("ready");
    for (const row of document.querySelectorAll(".list tr[data-key]")) {
      if (row.dataset.key === section.id) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
    if (!made.has(section)) made.set(section, new Session(section));
    current = made.get(section);
    current.draw();
    current.choose(current.chosen);
  }

  function follow() {
    const [, key, place] = /^#(s\d+)(?:-t(\d+))?$/.exec(location.hash) || [];
    const section = sections.find((one) => one.id === key);
    if (!section) return false;
    if (!current || current.section !== section) show(section);
    if (place !== undefined) current.choose(Number(place));
    return true;
  }

  function theme() {
    const button = document.getElementById("theme");
    const system = matchMedia("(prefers-color-scheme: dark)");
    const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
    const label = () => {
      button.textContent = dark() ? "Light" : "Dark";
      button.title = "Show this page in " + (dark() ? "light" : "dark") + " colours";
      if (!current) return;
      current.legend();
      current.fill(current.chosen);
      current.draw();
    };
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      label();
    });
    system.addEventListener("change", label);
    label();
    button.hidden = false;
  }

  function find() {
    const input = document.getElementById("find");
    const rows = [...document.querySelectorAll(".list tr[data-key]")];
    if (!input || rows.length < 9) return;
    input.closest("p").hidden = false;
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      let left = 0;
      for (const row of rows) {
        row.hidden = !row.textContent.toLowerCase().includes(wanted);
        left += row.hidden ? 0 : 1;
      }
      document.getElementById("found").textContent = wanted ? tokens(left) + " of " + tokens(rows.length) : "";
    });
  }

  theme();
  find();
  if (sections.length && !follow()) show(sections[0]);
  addEventListener("hashchange", follow);
  addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details")) one.open = true;
  });
})();
