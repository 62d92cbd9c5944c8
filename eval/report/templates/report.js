"use strict";
// Everything is in the page already; this only shows and hides, sorts and filters.

const gallery = document.querySelector(".gallery");

function showStep(shot, step) {
  for (const part of shot.querySelectorAll("[data-step]")) part.toggleAttribute("hidden", part.dataset.step !== step);
  const slider = shot.querySelector(".step-slider");
  if (slider) slider.value = step;
}

function filterGallery() {
  const wanted = { outcome: "by-outcome", objects: "by-objects", class: "by-class" };
  const shots = [...gallery.querySelectorAll(".shot")];
  for (const shot of shots) {
    shot.hidden = Object.entries(wanted).some(([key, id]) => {
      const value = document.getElementById(id).value;
      return value !== "" && shot.dataset[key] !== value;
    });
  }
  const shown = shots.filter((shot) => !shot.hidden).length;
  document.getElementById("shown").textContent = `${shown} of ${shots.length} images`;
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
