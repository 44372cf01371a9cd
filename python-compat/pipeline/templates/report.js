"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = new Map(data.users.map((user) => [user.id, user]));
  const articleAt = new Map(data.articles.map(([id], at) => [id, at]));
  const popular = new Set(data.popular);
  const search = document.getElementById("search");
  const segment = document.getElementById("segment");
  const results = document.getElementById("results");
  const count = document.getElementById("count");
  const panel = document.getElementById("panel");
  const ORDER = ["train", "valid", "test"].reverse();
  const TITLES = { test: "Test split", valid: "Validation split", train: "Training split" };
  const MOST = 400;
  const MOST_ARTICLES = 8;

  // Texts go in as text nodes and nothing else, so that no name can be markup.
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }
  const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
  const nameOf = (at) => data.articles[at][1] || `article ${data.articles[at][0]}`;
  const userLink = (user, ...children) => make("a", { href: `#user=${encodeURIComponent(user.id)}` }, ...(children.length ? children : [user.id]));
  const articleLink = (at) => make("a", { href: `#article=${encodeURIComponent(data.articles[at][0])}`, title: `article ${data.articles[at][0]}` }, nameOf(at));
  const tag = (kind, text, title) => make("span", { class: `tag ${kind}`, title }, text);

  function fillSegments() {
    data.columns.forEach((column, at) => {
      const counts = new Map();
      for (const user of data.users) counts.set(user.values[at], (counts.get(user.values[at]) || 0) + 1);
      const group = make("optgroup", { label: column.replaceAll("_", " ") });
      const values = [...counts.keys()].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
      for (const value of values) group.append(make("option", { value: JSON.stringify([at, value]) }, `${value} (${counts.get(value)})`));
      segment.append(group);
    });
  }

  function list() {
    const text = search.value.trim().toLowerCase();
    const chosen = segment.value ? JSON.parse(segment.value) : null;
    const users = data.users.filter((user) => (!chosen || user.values[chosen[0]] === chosen[1]) && (!text || user.id.toLowerCase().includes(text)));
    // The user of exactly this id first.
    users.sort((a, b) => (b.id.toLowerCase() === text) - (a.id.toLowerCase() === text));
    const articles = [];
    if (text.length > 1) {
      for (let at = 0; at < data.articles.length && articles.length < MOST_ARTICLES; at++) {
        if (nameOf(at).toLowerCase().includes(text) || data.articles[at][0] === text) articles.push(at);
      }
    }
    count.textContent = plural(users.length, "user") + (articles.length ? `, ${plural(articles.length, "article")}` : "");
    results.replaceChildren(
      ...articles.map((at) => {
        const link = articleLink(at);
        link.replaceChildren(make("span", { class: "what" }, nameOf(at)), make("span", { class: "note" }, "article"));
        return make("li", {}, link);
      }),
      ...users.slice(0, MOST).map((user) => make("li", {}, userLink(user, make("span", { class: "what" }, user.id), make("span", { class: "note" }, user.n ? plural(user.n, "purchase") : "new")))),
    );
    mark();
  }

  function mark() {
    for (const link of results.querySelectorAll("a")) {
      if (link.getAttribute("href") === location.hash) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }

  function recommendations(user) {
    const hits = new Set(user.hits);
    const scores = user.recs.map(([, score]) => score);
    const high = Math.max(...scores), low = Math.min(...scores);
    const rows = user.recs.map(([at, score], place) => {
      const cell = make("td", {}, articleLink(at));
      if (hits.has(at)) cell.append(" ", tag("hit", "bought later", "The user bought it in the test split"));
      if (popular.has(at)) cell.append(" ", tag("popular", "popular", `Among the ${data.k} most bought articles`));
      const width = high > low ? 12 + 88 * (score - low) / (high - low) : 100;
      const bar = make("span", { class: "score" });
      bar.style.width = `${width.toFixed(0)}%`;
      cell.append(bar);
      return make("tr", {}, make("td", { class: "num rank" }, String(place + 1)), cell, make("td", { class: "num quiet" }, score === null ? "–" : score.toFixed(3)));
    });
    const head = make("tr", {}, make("th", { class: "num rank" }, "#"), make("th", {}, "Article"), make("th", { class: "num" }, "Score"));
    return make("div", {}, make("h4", {}, "Recommended"), make("p", { class: "note" }, hits.size ? `${hits.size} of these bought later, in the test split` : "None of these in the test split"),
      make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
  }

  function purchases(user) {
    const rows = [];
    const splits = [...new Set(user.bought.map(([, , , split]) => split))];
    splits.sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b));
    for (const wanted of splits) {
      const note = TITLES[wanted] || `${wanted} split`;
      rows.push(make("tr", { class: "split" }, make("th", { colspan: "2", scope: "rowgroup" }, note)));
      let last = null;
      for (const [day, at, times, split] of user.bought) {
        if (split !== wanted) continue;
        const cell = make("td", {}, articleLink(at));
        if (times > 1) cell.append(make("span", { class: "quiet" }, ` × ${times}`));
        rows.push(make("tr", day === last ? {} : { class: "first" }, make("td", { class: "day" }, day === last ? "" : day), cell));
        last = day;
      }
    }
    const shown = rows.length ? user.bought.length < user.lines ? `Newest first, ${user.bought.length} of ${user.lines.toLocaleString("en")} lines` : "Newest first" : "None";
    return make("div", {}, make("h4", {}, "Purchases"), make("p", { class: "note" }, shown),
      make("div", { class: "purchases" }, make("table", {}, make("tbody", {}, ...rows))));
  }

  function showUser(user) {
    const chips = user.values.map((value, at) => make("li", {}, make("span", {}, `${data.columns[at].replaceAll("_", " ")} `), at === 0 ? user.n.toLocaleString("en") : value));
    panel.replaceChildren(make("h3", { class: "name" }, `User ${user.id}`), make("ul", { class: "chips" }, ...chips),
      make("div", { class: "pair" }, recommendations(user), purchases(user)));
  }

  function people(title, users, where) {
    const links = users.slice(0, MOST).map((user) => make("li", {}, userLink(user)));
    return make("div", {}, make("h4", {}, title), make("p", { class: "note" }, `${plural(users.length, "user")} of this sample${where}`), make("ul", { class: "people" }, ...links));
  }

  function showArticle(at) {
    const chips = [make("li", {}, make("span", {}, "article "), data.articles[at][0])];
    if (popular.has(at)) chips.push(make("li", {}, `among the ${data.k} most bought`));
    panel.replaceChildren(make("h3", { class: "name" }, nameOf(at)), make("ul", { class: "chips" }, ...chips),
      make("div", { class: "pair" },
        people("Recommended to", data.users.filter((user) => user.recs.some(([item]) => item === at)), ""),
        people("Bought by", data.users.filter((user) => user.bought.some(([, item]) => item === at)), ", in the purchases shown")));
  }

  function route() {
    const [, kind, text] = location.hash.match(/^#(user|article)=(.*)$/) || [];
    let id = null;
    try {
      id = decodeURIComponent(text || "");
    } catch {
      // An address that somebody cut off: show what is shown without one.
    }
    if (kind === "user" && byId.has(id)) showUser(byId.get(id));
    else if (kind === "article" && articleAt.has(id)) showArticle(articleAt.get(id));
    else if (!panel.hasChildNodes() && data.users.length) showUser(data.users.find((user) => user.hits.length) || data.users[0]);
    mark();
    if (kind && window.matchMedia("(max-width: 680px)").matches) panel.scrollIntoView();
  }

  fillSegments();
  search.addEventListener("input", list);
  segment.addEventListener("change", list);
  window.addEventListener("hashchange", route);
  list();
  route();
})();
