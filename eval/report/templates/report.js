"use strict";
// Everything is in the page already; this only shows and hides, sorts and filters.

const gallery = document.querySelector(".gallery");

function showStep(shot, step) {
  for (const part of shot.querySelectorAll("[data-step]")) part.toggleAttribute("hidden", part.dataset.step !== step);
  const slider = shot.querySelector(".step-slider");
  if (slider) slider.value = step;
}

const FIRST = 12; // images shown at first: the page stays short on a telephone

function filterGallery() {
  const wanted = { outcome: "by-outcome", objects: "by-objects", class: "by-class" };
  const shots = [...gallery.querySelectorAll(".shot")];
  for (const shot of shots) {
    shot.hidden = Object.entries(wanted).some(([key, id]) => {
      const value = document.getElementById(id).value;
      return value !== "" && shot.dataset[key] !== value;
    });
  }
  const matching = shots.filter((shot) => !shot.hidden);
  const further = gallery.classList.contains("all") ? [] : matching.slice(FIRST);
  for (const shot of shots) shot.classList.toggle("later", further.includes(shot));
  document.getElementById("shown").textContent = `${matching.length} of ${shots.length} images`;
  const more = document.getElementById("more");
  more.hidden = further.length === 0;
  more.textContent = `Show ${further.length} more`;
}

function enlarge(shot) {
  const dialog = document.getElementById("enlarged");
  const row = dialog.querySelector(".row");
  const captions = [...shot.querySelectorAll("span.step")];
  dialog.querySelector(".title").textContent = shot.querySelector("b").textContent;
  row.replaceChildren(
    ...captions.map((caption) => {
      const figure = document.createElement("figure");
      const frame = shot.querySelector(".frame").cloneNode(true);
      for (const part of frame.querySelectorAll("[data-step]")) part.toggleAttribute("hidden", part.dataset.step !== caption.dataset.step);
      const text = document.createElement("figcaption");
      text.textContent = caption.textContent.trim();
      figure.append(frame, text);
      return figure;
    }),
  );
  dialog.showModal();
}

function sortBy(button) {
  const heading = button.closest("th");
  const table = button.closest("table");
  const column = [...heading.parentNode.children].indexOf(heading);
  const descending = heading.getAttribute("aria-sort") === "none" ? column > 0 : heading.getAttribute("aria-sort") === "ascending";
  for (const other of heading.parentNode.children) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const key = (row) => row.children[column].dataset.value ?? row.children[column].textContent;
  const compare = (a, b) => (column > 0 ? Number(key(a)) - Number(key(b)) : key(a).localeCompare(key(b)));
  const rows = [...table.tBodies[0].rows].sort((a, b) => (descending ? compare(b, a) : compare(a, b)));
  table.tBodies[0].append(...rows);
}

if (gallery) {
  gallery.addEventListener("click", (event) => {
    const button = event.target.closest(".enlarge");
    if (button) enlarge(button.closest(".shot"));
  });
  document.getElementById("enlarged").addEventListener("click", (event) => {
    if (event.target === event.currentTarget) event.currentTarget.close(); // beside the picture
  });
  document.getElementById("more").addEventListener("click", () => {
    gallery.classList.add("all");
    filterGallery();
  });
  gallery.addEventListener("input", (event) => {
    if (event.target.matches(".step-slider")) showStep(event.target.closest(".shot"), event.target.value);
  });
  for (const id of ["by-outcome", "by-objects", "by-class"]) document.getElementById(id).addEventListener("change", filterGallery);
  document.getElementById("show-maps").addEventListener("change", (event) => document.body.classList.toggle("maps", event.target.checked));
  document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
  const all = document.getElementById("all-steps");
  if (all) {
    all.addEventListener("input", () => {
      all.nextElementSibling.value = all.value;
      for (const shot of gallery.querySelectorAll(".shot")) showStep(shot, all.value);
    });
  }
  // A browser may remember what was chosen before the page was loaded again.
  filterGallery();
}

for (const button of document.querySelectorAll(".sortable button")) button.addEventListener("click", () => sortBy(button));

const themes = ["system", "light", "dark"];
const themeButton = document.getElementById("theme");
themeButton.addEventListener("click", () => {
  const next = themes[(themes.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % themes.length];
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  themeButton.textContent = `Theme: ${next}`;
});
