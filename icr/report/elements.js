"use strict";
// What the scripts of all pages make elements with. Model text reaches a page through textContent alone.
const at = (id) => document.getElementById(id);
const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};
const rtl = new Set(["ar", "fa", "he", "ur", "ps", "sd", "ug", "yi"]);
const speech = (text, language, className = "speech") => {
  const element = make("div", className, text === "" ? "(empty)" : text);
  if (text === "") element.classList.add("empty");
  else {
    element.lang = language;
    element.dir = rtl.has(language) ? "rtl" : "auto";
  }
  return element;
};
const fill = (box, labels) => {
  const before = box.value;
  box.replaceChildren(...labels.map(([value, label]) => {
    const option = make("option", "", label);
    option.value = value;
    return option;
  }));
  if (labels.some(([value]) => value === before)) box.value = before;
};
const digits = (value, places) => (value === null ? "–" : value.toFixed(places).replace("-", "−"));
