// Where one is logged in.
import { actions, button, h, say } from "./dom.js";
import { act, agent, part, when } from "./parts.js";
import { api } from "./session.js";
import { keepChoice, t } from "./words.js";

export function sessionsPart(sessions, redraw) {
  const others = sessions.filter((s) => !s.current);
  const end = async (title, text, ended) => {
    const done = await act(title, text, { danger: true }, () =>
      Promise.all(ended.map((s) => api.json("DELETE", "/sessions/" + s.id).catch(gone))));
    if (!done) return;
    say(t("account.session_ended"));
    await redraw();
  };
  const told = (s) => ({ agent: agent(s.user_agent), ip: s.ip });
  const endOne = (s) => end(t("account.session_end_title"), t("account.session_text", told(s)), [s]);
  const everywhere = async () => {
    const done = await act(t("account.everywhere"), t("account.everywhere_text"), { danger: true },
      () => keepChoice(() => api.logout({ everywhere: true })));
    if (done) location.replace("/login");
  };
  const row = (s) => h("li", null,
    h("div", null, h("strong", null, agent(s.user_agent)), " ", s.current && h("span", { class: "mark" }, t("account.this_one")),
      h("div", { class: "muted" }, s.ip && s.ip + " · ", t("account.used"), " ", when(s.last_used_at))),
    !s.current && button(t("account.session_end"), () => endOne(s), { "aria-label": t("account.session_end_of", told(s)) }));
  const current = sessions.filter((s) => s.current);
  return part(t("account.sessions"), t("account.sessions_about"),
    h("ul", { class: "sessions" }, [...current, ...others].map(row)),
    actions(
      others.length > 1 && button(t("account.sessions_end"),
        () => end(t("account.sessions_end"), t("account.sessions_text"), others), { id: "sessions-end" }),
      button(t("account.everywhere"), everywhere, { id: "everywhere" })));
}

// gone lets a session end that has ended already.
export function gone(error) {
  if (error.code !== "not_found") throw error;
}
