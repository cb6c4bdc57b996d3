// Shows sampled responses.
(() => {
  const data = JSON.parse(document.getElementById("samples-data").textContent);
  const [roundBox, languageBox, promptBox] = [at("pick-round"), at("pick-language"), at("pick-prompt")];
  if (!roundBox) return;

  const shelf = () => (data.rounds[roundBox.value] || {})[languageBox.value] || { total: 0, prompts: [] };

  const card = (response, language, range, unit) => {
    const box = make("article", `response ${response.mark}`);
    const head = box.appendChild(make("div", "response-head"));
    if (response.mark) head.appendChild(make("span", "badge", response.mark === "chosen" ? "▲ chosen" : "▼ rejected"));
    head.appendChild(make("strong", "reward", `reward ${digits(response.reward, 2)}`));
    if (response.score !== response.reward) {
      head.appendChild(make("span", "", `after length control (${unit}) ${digits(response.score, 2)}`));
    }
    const bar = make("span", "bar");
    const fillBar = bar.appendChild(make("span"));
    const span = range[1] - range[0];
    fillBar.style.width = response.score === null || !span ? "0" : `${(100 * (response.score - range[0])) / span}%`;
    head.appendChild(bar);
    box.appendChild(speech(response.text, language));
    const foot = box.appendChild(make("div", "response-foot"));
    const facts = [`sample ${response.k}`];
    if (response.tokens !== null) facts.push(`${response.tokens} tokens`);
    if (response.characters !== null) facts.push(`${response.characters} characters`);
    facts.push(response.finish === "length" ? "cut by the token limit" : `finish: ${response.finish || "?"}`);
    if (response.policy !== null) facts.push(`log π ${digits(response.policy, 2)} / ${digits(response.reference, 2)}`);
    foot.appendChild(make("span", "", facts.join(" · ")));
    if (response.reason) foot.appendChild(make("span", "warn", `not usable: ${response.reason}`));
    return box;
  };

  const show = () => {
    const own = shelf();
    const language = languageBox.value;
    at("shown").textContent = `${own.prompts.length} of ${own.total} prompts of this round and language are on this page.`;
    const prompt = own.prompts[promptBox.value];
    const target = at("sample");
    if (!prompt) return target.replaceChildren(make("p", "note", "No prompt of this round and language is on this page."));
    const prompts = make("div", "prompts");
    const left = prompts.appendChild(make("div"));
    left.append(make("h4", "", `Prompt (${language})`), speech(prompt.prompt, language));
    if (language !== "en") {
      const right = prompts.appendChild(make("div"));
      right.append(make("h4", "", "The same in English"), speech(prompt.english, "en"));
    }
    const scores = prompt.responses.map((r) => r.score).filter((s) => s !== null);
    const range = [Math.min(...scores), Math.max(...scores)];
    const list = make("div", "responses");
    list.append(...prompt.responses.map((r) => card(r, language, range, own.unit)));
    target.replaceChildren(prompts);
    if (!prompt.paired) target.appendChild(make("p", "note", "This prompt gave no pair."));
    target.appendChild(list);
  };
  const pickLanguage = () => {
    fill(promptBox, shelf().prompts.map((p, i) => [String(i), `${p.id} · ${p.prompt.replace(/\s+/g, " ").slice(0, 60)}`]));
    show();
  };
  const pickRound = () => {
    fill(languageBox, Object.keys(data.rounds[roundBox.value] || {}).map((l) => [l, l]));
    pickLanguage();
  };
  const step = (by) => {
    const count = promptBox.options.length;
    if (!count) return;
    promptBox.selectedIndex = (promptBox.selectedIndex + by + count) % count;
    show();
  };

  fill(roundBox, Object.keys(data.rounds).map((t) => [t, t]));
  const languages = Object.keys(data.rounds[roundBox.value] || {});
  pickRound();
  languageBox.value = languages.find((l) => l !== "en") || languages[0] || "";
  pickLanguage();
  roundBox.addEventListener("change", pickRound);
  languageBox.addEventListener("change", pickLanguage);
  promptBox.addEventListener("change", show);
  at("previous").addEventListener("click", () => step(-1));
  at("next").addEventListener("click", () => step(1));
})();
