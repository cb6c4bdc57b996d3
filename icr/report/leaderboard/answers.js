// Shows answers of two models, or of all, to one prompt, beside the reference answer where there is one.
(() => {
  const data = JSON.parse(at("answers-data").textContent);
  const [REFERENCE, ALL] = ["", "*"];  // No model is called so: their names are those of files.
  const LONG = 700;
  const [languageBox, aBox, bBox, filterBox, promptBox] = ["language", "a", "b", "filter", "prompt"].map((name) => at(`pick-${name}`));
  if (!languageBox) return;

  const count = (number) => number.toLocaleString("en");
  const side = (answer) => (!answer || answer.q === null ? null : Math.sign(answer.q - 0.5));
  const flipped = (answer) => answer && answer.first !== null && answer.second !== null && (answer.first - 0.5) * (answer.second - 0.5) < 0;
  const any = (test) => (a, b, shown) => shown.some((answer) => answer && test(answer));
  const seen = [
    ["off", "in another language", any((answer) => answer.off)],
    ["cut", "cut by the token limit", any((answer) => answer.cut)],
    ["circles", "in circles", any((answer) => answer.repeats)],
    ["empty", "empty", any((answer) => !answer.text.trim())],
  ];
  const verdicts = [
    ["flips", "flips with the order", (a, b) => flipped(a) || flipped(b)],
    ["missing", "without verdict", (a, b) => [a, b].some((answer) => answer && answer.q === null)],
    ["losses", "A loses", (a) => side(a) === -1],
    ["wins", "A wins", (a) => side(a) === 1],
    ["differ", "A and B fare differently", (a, b) => side(a) !== null && side(b) !== null && side(a) !== side(b)],
  ];
  const filters = [["all", "all prompts", () => true], ...(data.judged ? verdicts : []), ...seen];
  const shelf = () => data.languages[languageBox.value];
  const of = (prompt, box) => prompt.answers[box.value];
  const shownModels = () => {
    const chosen = [aBox, bBox].map((box) => box.value);
    return chosen.includes(ALL) ? Object.keys(data.models) : [...new Set(chosen.filter((model) => model !== REFERENCE))];
  };
  const passes = (test, prompt) => test(of(prompt, aBox), of(prompt, bBox), shownModels().map((model) => prompt.answers[model]));

  const verdict = (answer) => {
    if (answer.q === null) return [make("span", "badge", "no verdict"), make("span", "warn", answer.reason)];
    const word = { "1": "▲ wins", "-1": "▼ loses", "0": "= ties" }[side(answer)];
    const parts = [make("span", "badge", word), make("strong", "reward", `q ${digits(answer.q, 2)}`)];
    if (answer.first !== null || answer.second !== null) {
      parts.push(make("span", "", `shown first ${digits(answer.first, 2)} · second ${digits(answer.second, 2)}`));
    }
    if (flipped(answer)) parts.push(make("span", "warn", "⇄ flips with the order"));
    return parts;
  };
  const facts = (answer) => {
    const foot = make("div", "response-foot");
    const lengths = [`${count(answer.characters)} characters`];
    if (answer.tokens !== null) lengths.unshift(`${count(answer.tokens)} tokens`);
    if (answer.of > 1) lengths.push(`the first of ${answer.of} answers`);
    foot.appendChild(make("span", "", lengths.join(" · ")));
    if (answer.off) foot.appendChild(make("span", "warn", "in another language"));
    if (answer.cut) foot.appendChild(make("span", "warn", "cut by the token limit"));
    if (answer.repeats) foot.appendChild(make("span", "warn", "runs in circles"));
    return foot;
  };
  const fold = (box, text) => {
    if (text.length <= LONG) return [];
    box.classList.add("folded");
    const button = make("button", "", "Show all of it");
    button.type = "button";
    button.addEventListener("click", () => {
      button.textContent = box.classList.toggle("folded") ? "Show all of it" : "Fold it";
    });
    return [button];
  };
  const card = (name, answer, language, judged) => {
    const tint = judged ? { "1": "best", "-1": "worst" }[side(answer)] || "" : "";
    const box = make("article", `answer ${tint}`);
    const head = box.appendChild(make("div", "response-head"));
    head.appendChild(make("strong", "reward", name));
    if (judged) head.append(...verdict(answer));
    box.append(speech(answer.text, language), ...fold(box, answer.text), facts(answer));
    return box;
  };

  const show = () => {
    const language = languageBox.value;
    const own = shelf();
    at("shown").textContent = `${count(own.prompts.length)} of ${count(own.total)} prompts in this language are on this page; long texts are cut.`;
    const prompt = own.prompts[promptBox.value];
    const target = at("sample");
    if (!prompt) return target.replaceChildren(make("p", "note", "No prompt on this page is like that."));
    const asked = make("div", "prompts");
    asked.appendChild(make("div")).append(make("h4", "", `Prompt ${prompt.id} (${language})`), speech(prompt.prompt, language));
    const pair = make("div", "pair");
    for (const model of shownModels()) {
      const [name, answer] = [data.models[model], prompt.answers[model]];
      pair.appendChild(answer ? card(name, answer, language, data.judged) : make("p", "note", `${name} has no answer to this prompt.`));
    }
    if (prompt.reference) pair.appendChild(card("Reference answer", prompt.reference, language, false));
    target.replaceChildren(asked, pair);
  };
  const pick = () => {
    const test = filters.find(([key]) => key === filterBox.value)[2];
    const kept = shelf().prompts.map((prompt, index) => [prompt, index]).filter(([prompt]) => passes(test, prompt));
    fill(promptBox, kept.map(([prompt, index]) => [String(index), `${prompt.id} · ${prompt.prompt.replace(/\s+/g, " ").slice(0, 60)}`]));
    show();
  };
  const countFilters = () => {
    fill(filterBox, filters.map(([key, label, test]) => {
      const found = shelf().prompts.filter((prompt) => passes(test, prompt)).length;
      return [key, `${label} (${count(found)})`];
    }));
    pick();
  };
  const step = (by) => {
    const choices = promptBox.options.length;
    if (!choices) return;
    promptBox.selectedIndex = (promptBox.selectedIndex + by + choices) % choices;
    show();
  };

  const languages = Object.keys(data.languages);
  const models = Object.entries(data.models);
  fill(languageBox, languages.map((language) => [language, language]));
  fill(aBox, models);
  const others = models.length > 1 ? [[ALL, "all models"]] : [];
  fill(bBox, [...models, ...others, ...(data.judged ? [[REFERENCE, "reference answer"]] : [])]);
  languageBox.value = languages.find((language) => language !== "en") || languages[0];
  aBox.value = models[models.length - 1][0];
  bBox.value = models.length < 2 && data.judged ? REFERENCE : data.judged || models.length < 2 ? models[0][0] : ALL;
  countFilters();
  for (const box of [languageBox, aBox, bBox]) box.addEventListener("change", countFilters);
  filterBox.addEventListener("change", pick);
  promptBox.addEventListener("change", show);
  at("previous").addEventListener("click", () => step(-1));
  at("next").addEventListener("click", () => step(1));
})();
