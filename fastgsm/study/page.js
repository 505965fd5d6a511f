"use strict";

// A click on a column's title sorts by it, upwards first; a second click turns the order round.
// What has no figure stays last.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const title = button.parentElement;
    const upwards = title.getAttribute("aria-sort") !== "ascending";
    for (const other of title.parentElement.children) other.removeAttribute("aria-sort");
    title.setAttribute("aria-sort", upwards ? "ascending" : "descending");
    const body = title.closest("table").tBodies[0];
    const key = (row) => row.cells[title.cellIndex].dataset.value ?? "";
    const compare = (a, b) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      const order = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
      return upwards ? order : -order;
    };
    body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b))));
  });
}

for (const figure of document.querySelectorAll(".slider")) {
  const [level, model] = figure.querySelectorAll("select");
  const range = figure.querySelector("input");
  const find = (name) =>
    [...figure.querySelectorAll("[hidden] img")].find(
      (image) => image.dataset.level === level.value && image.dataset.model === name);
  const show = () => {
    const after = find(model.value);
    figure.querySelector(".before").src = find("").src;
    figure.querySelector(".after").src = after.src;
    figure.querySelector(".after").alt = after.alt;
    figure.querySelector("output").value = after.alt;
  };
  const slide = () => figure.style.setProperty("--cut", range.value + "%");
  level.addEventListener("change", show);
  model.addEventListener("change", show);
  range.addEventListener("input", slide);
  show();
  slide();
}
