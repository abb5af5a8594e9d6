"use strict";
(() => {
  const tip = document.getElementById("tip");

  // Tips, and one draw lit wherever it is drawn.
  const place = (event) => {
    const gap = 14, box = tip.getBoundingClientRect();
    const x = Math.min(event.clientX + gap, innerWidth - box.width - 8);
    const below = event.clientY + gap + box.height < innerHeight;
    tip.style.left = Math.max(8, x) + "px";
    tip.style.top = Math.max(8, below ? event.clientY + gap : event.clientY - gap - box.height) + "px";
  };
  const about = (mark) => {
    if (!mark || mark.tagName === "TR") return "";
    const row = mark.closest("article").querySelector(`tr[data-trial="${mark.dataset.trial}"]`);
    return row ? row.dataset.about : "";
  };
  let lit = [];
  const light = (holder) => {
    for (const mark of lit) mark.classList.remove("lit");
    document.querySelectorAll("article.dim").forEach((part) => part.classList.remove("dim"));
    lit = [];
    const article = holder && holder.closest("article");
    if (!article) return;
    lit = [...article.querySelectorAll("[data-trial]")].filter((mark) => mark.dataset.trial === holder.dataset.trial);
    for (const mark of lit) mark.classList.add("lit");
    article.classList.add("dim");
  };
  document.addEventListener("pointerover", (event) => {
    const trial = event.target.closest("[data-trial]");
    const words = event.target.closest("[data-tip]")?.dataset.tip ?? about(trial);
    tip.hidden = !words;
    if (words) { tip.textContent = words; place(event); }
    light(trial);
  });
  document.addEventListener("pointermove", (event) => { if (!tip.hidden) place(event); });
  document.addEventListener("pointerleave", () => { tip.hidden = true; light(null); });
  document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

  // Tables that sort.
  const compare = (kind) => (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    return kind === "number" ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true });
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "descending";
        const numbers = head.dataset.kind === "number";
        const way = head.hasAttribute("aria-sort") ? (down ? 1 : -1) : (numbers && column > 0 ? -1 : 1);
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
        const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
        const order = compare(head.dataset.kind);
        const rows = [...body.rows].map((row) => [key(row), row]);
        rows.sort(([a], [b]) => (a === "" || b === "" ? order(a, b) : way * order(a, b)));
        body.append(...rows.map(([, row]) => row));
      });
    });
  }

  // Copying, light and dark, printing everything.
  for (const button of document.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
  const theme = document.getElementById("theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const root = document.documentElement.style;
    const dark = root.colorScheme ? root.colorScheme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.colorScheme = dark ? "light" : "dark";
  });
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
})();
