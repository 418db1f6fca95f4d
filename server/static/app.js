// What pages can do beyond links and forms: a theme that was chosen, copying, keys, zooming by wheel and pinch, and showing
// themselves anew when something happens. Everything else works without this.
"use strict";

(() => {
  const root = document.documentElement;
  const stored = () => {
    try { return localStorage.getItem("theme"); } catch { return null; }
  };
  const apply = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };

  // At once, while the page is still being read, so that it never flashes in the other theme.
  root.classList.add("js");
  apply(stored());

  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  const say = (text) => {
    const place = document.getElementById("said");
    if (place) place.textContent = text;
  };

  const copy = async (button) => {
    const source = document.getElementById(button.dataset.copy);
    if (!source) return;
    const text = source.textContent.trim();
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Plain http has no clipboard: select the text, so that the usual keys copy it.
      const range = document.createRange();
      range.selectNodeContents(source);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      if (!document.execCommand("copy")) {
        say("Selected. Press Ctrl+C to copy.");
        return;
      }
    }
    say("Copied.");
    if (button.dataset.copied) return;
    const label = [...button.childNodes];
    button.dataset.copied = "yes";
    button.replaceChildren("Copied");
    setTimeout(() => { button.replaceChildren(...label); delete button.dataset.copied; }, 1500);
  };

  // Pages that are maps change without being loaded anew: what is on them is fetched and put in place.

  const canvas = () => document.getElementById("canvas");
  let fetching = null;

  // Why a page is fetched: somebody went there, or back, or it is only to be shown anew, which may fail in silence.
  const visit = async (url, why) => {
    const push = why === "go";
    fetching?.abort();
    const mine = new AbortController();
    fetching = mine;
    const focused = document.activeElement?.dataset?.cidr;
    let page;
    try {
      // What is shown anew by itself is not used by anybody, and does not keep the session alive.
      const headers = { accept: "text/html", ...(why === "anew" ? { "ipam-anew": "1" } : {}) };
      const reply = await fetch(url, { signal: mine.signal, headers });
      // Signed out, or an error: the browser shows it.
      if (!reply.ok && why === "anew") {
        fetching = null;
        return;
      }
      if (!reply.ok || new URL(reply.url).pathname !== new URL(url, location.href).pathname) {
        location.assign(url);
        return;
      }
      page = new DOMParser().parseFromString(await reply.text(), "text/html");
    } catch (error) {
      if (error.name === "AbortError") return;
      fetching = null;
      if (why !== "anew") location.assign(url);
      return;
    }
    fetching = null;
    const content = document.getElementById("content");
    const fresh = page.getElementById("content");
    if (!content || !fresh) return;
    // What somebody has opened stays open, and what is new is told from what was there.
    const opened = why === "anew" ? [...content.querySelectorAll("details[id][open]")].map((one) => one.id) : [];
    const newest = why === "anew" ? Number(content.querySelector("[data-newest]")?.dataset.newest) : NaN;
    const kept = why === "anew" ? whereFocusIs(content) : null;
    content.replaceChildren(...fresh.childNodes);
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
    let added = 0;
    for (const one of content.querySelectorAll("[data-event]")) {
      if (Number(one.dataset.event) > newest) { one.classList.add("new"); added += 1; }
    }
    if (added) say(added === 1 ? "A new event." : `${added} new events.`);
    const side = document.getElementById("nav");
    const freshSide = page.getElementById("nav");
    if (side && freshSide) side.replaceChildren(...freshSide.childNodes);
    document.title = page.title;
    if (push) history.pushState(null, "", url);
    prepare();
    const again = focused && content.querySelector(`[data-map] a[data-cidr="${CSS.escape(focused)}"]`);
    if (again) focus(again, why === "anew");
    else if (kept) content.querySelector(kept)?.focus({ preventScroll: true });
    else if (push && focused) {
      const first = content.querySelector("[data-map] a");
      if (first) focus(first);
    }
    if (push && new URL(url, location.href).hash === "#pick") {
      document.getElementById("pick")?.scrollIntoView({ block: "nearest" });
    }
  };

  // A selector of what has the focus, so that the keyboard goes on where it was when the page shows itself anew.
  const whereFocusIs = (content) => {
    const one = document.activeElement;
    if (!one || !content.contains(one)) return null;
    if (one.id) return `#${CSS.escape(one.id)}`;
    if (one.tagName === "SUMMARY" && one.parentElement.id) return `#${CSS.escape(one.parentElement.id)} > summary`;
    const href = one.getAttribute("href");
    return href ? `a[href="${CSS.escape(href)}"]` : null;
  };

  // The map is one stop of the tab key; arrow keys and hjkl move inside.

  const focus = (link, stay = false) => {
    for (const other of link.closest("[data-map]").querySelectorAll("a")) other.setAttribute("tabindex", "-1");
    link.setAttribute("tabindex", "0");
    link.focus({ preventScroll: stay });
    const title = link.querySelector("title");
    if (title) say(title.textContent);
  };

  const prepare = () => {
    for (const map of document.querySelectorAll("[data-map]")) {
      map.querySelector("a")?.setAttribute("tabindex", "0");
    }
  };

  const move = (from, dx, dy) => {
    const middle = (link) => {
      const box = link.getBoundingClientRect();
      return [box.left + box.width / 2, box.top + box.height / 2, box];
    };
    const [x, y, box] = middle(from);
    let best = null;
    let least = Infinity;
    for (const link of from.closest("[data-map]").querySelectorAll("a")) {
      if (link === from) continue;
      const [otherX, otherY, other] = middle(link);
      const along = dx ? (otherX - x) * dx : (otherY - y) * dy;
      const sameLine = dx ? other.top < box.bottom && other.bottom > box.top : true;
      if (along <= 1 || !sameLine) continue;
      const across = dx ? Math.abs(otherY - y) : Math.max(0, other.left - x, x - other.right);
      const distance = along + across * 3;
      if (distance < least) { least = distance; best = link; }
    }
    // At the end of a row, the next one begins.
    if (!best && dx) {
      const all = [...from.closest("[data-map]").querySelectorAll("a")];
      best = all[all.indexOf(from) + dx];
    }
    if (best) focus(best);
  };

  const into = (cidr) => {
    const url = new URL(location.href);
    // A step begins at what is shown: the address may still say where the step before began.
    const at = document.getElementById("at")?.defaultValue;
    if (at) url.searchParams.set("at", at);
    url.searchParams.set("into", cidr);
    url.searchParams.delete("pick");
    url.hash = "";
    visit(url.href, "go");
  };
  const out = () => {
    const href = canvas()?.dataset.out;
    if (href) visit(href, "go");
  };
  const through = (way) => {
    const href = canvas()?.dataset[way];
    if (href) visit(href, "go");
  };

  const MOVES = {
    ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
    h: [-1, 0], l: [1, 0], k: [0, -1], j: [0, 1],
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (target.closest?.("input, textarea, select, dialog")) return;
    const link = target.closest?.("[data-map] a");
    const current = () => link ?? document.querySelector("#canvas [data-map] a[tabindex='0']");
    const done = () => event.preventDefault();
    if (event.key === "/") { document.getElementById("find")?.focus(); done(); return; }
    if (event.key === "?") { document.getElementById("keys")?.showModal(); done(); return; }
    if (!canvas()) return;
    const step = MOVES[event.key];
    if (step && (link || event.key.length === 1)) {
      const from = current();
      if (from) { if (link) move(from, ...step); else focus(from); done(); }
      return;
    }
    switch (event.key) {
      case "+": case "=": {
        const from = current();
        if (from) into(from.dataset.cidr);
        done();
        break;
      }
      case "-": out(); done(); break;
      case "[": through("earlier"); done(); break;
      case "]": through("later"); done(); break;
      case "a": case "r": {
        const form = document.querySelector(`#pick a[data-key="${event.key}"]`);
        if (form) { form.click(); done(); }
        break;
      }
      case "Escape": document.querySelector("#pick a[data-key='close']")?.click(); break;
    }
  });

  // The wheel with Ctrl, and a pinch, which browsers tell as the same.

  let wheeled = 0;
  document.addEventListener("wheel", (event) => {
    if (!event.ctrlKey || !event.target.closest?.("#canvas [data-map]")) return;
    event.preventDefault();
    if (event.timeStamp - wheeled < 250) return;
    wheeled = event.timeStamp;
    const link = event.target.closest("a[data-cidr]");
    if (event.deltaY > 0) out();
    else if (link) into(link.dataset.cidr);
  }, { passive: false });

  let pinch = 0;
  const distance = (touches) =>
    Math.hypot(touches[0].clientX - touches[1].clientX, touches[0].clientY - touches[1].clientY);
  const pinched = (event) => {
    if (!pinch || event.touches.length !== 2) return;
    event.preventDefault();
    const change = distance(event.touches) / pinch;
    if (change > 1.35) {
      const x = (event.touches[0].clientX + event.touches[1].clientX) / 2;
      const y = (event.touches[0].clientY + event.touches[1].clientY) / 2;
      const link = document.elementFromPoint(x, y)?.closest("a[data-cidr]");
      pinch = 0;
      if (link) into(link.dataset.cidr);
    } else if (change < 0.74) {
      pinch = 0;
      out();
    }
  };
  const lifted = () => { pinch = 0; };
  document.addEventListener("touchstart", (event) => {
    if (event.touches.length !== 2 || !event.target.closest?.("#canvas [data-map]")) return;
    pinch = distance(event.touches);
    // What was touched is told how fingers move, also when the map shows itself anew meanwhile; the document no longer is then.
    event.target.addEventListener("touchmove", pinched, { passive: false });
    for (const end of ["touchend", "touchcancel"]) event.target.addEventListener(end, lifted);
  }, { passive: true });

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (link && canvas() && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
      const url = new URL(link.href?.baseVal ?? link.href, location.href);
      const here = url.pathname === location.pathname && url.search !== location.search;
      if (here && link.closest("#content")) {
        event.preventDefault();
        visit(url.href, "go");
        return;
      }
    }
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.copy) copy(button);
    if (button.id === "help") document.getElementById("keys")?.showModal();
    if (button.id === "theme") {
      const theme = isDark() ? "light" : "dark";
      apply(theme);
      try { localStorage.setItem("theme", theme); } catch { /* It holds for this page. */ }
      say(theme === "dark" ? "Dark theme." : "Light theme.");
    }
  });

  addEventListener("popstate", () => { if (canvas()) visit(location.href, "back"); else location.reload(); });

  // What others do appears by itself, on pages that ask for it and only while somebody can see them.

  let live = null;
  let again = false;
  let soon = null;
  let next = 0;
  const refresh = async () => {
    const begin = performance.now();
    const typed = [...document.querySelectorAll("#content input, #content textarea")].some((one) => one.value !== one.defaultValue);
    const busy = fetching || typed || !getSelection().isCollapsed
      || document.activeElement?.closest?.("#content input, #content textarea, #content select, dialog");
    if (document.querySelector("[data-live]")) {
      if (busy) {
        soon = setTimeout(refresh, 1000);
        return;
      }
      await visit(location.href, "anew");
    }
    soon = null;
    next = performance.now() + 2000 + 10 * (performance.now() - begin);
  };
  // What is busy is not made busier by those who watch: at most a tenth of the time goes into showing it.
  const later = () => { soon ??= setTimeout(refresh, Math.max(400, next - performance.now())); };
  const follow = () => {
    const wanted = document.querySelector("[data-live]") && document.visibilityState === "visible";
    if (wanted && !live) {
      live = new EventSource("/ui/live");
      const sign = (on) => document.getElementById("live")?.classList.toggle("on", on);
      // What happened while there was no stream, such as in a tab that was hidden, was not told.
      live.onopen = () => { sign(true); if (again) later(); again = true; };
      live.onerror = () => {
        sign(false);
        // Browsers give up after an answer that is no stream, such as that of a server that is busy.
        if (live?.readyState === EventSource.CLOSED) {
          live = null;
          setTimeout(follow, 10000);
        }
      };
      live.onmessage = later;
    } else if (!wanted && live) {
      live.close();
      live = null;
    }
  };
  document.addEventListener("visibilitychange", follow);
  document.addEventListener("DOMContentLoaded", () => { prepare(); follow(); });
})();
