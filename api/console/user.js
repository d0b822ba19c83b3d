// One user, for admins.
import { actions, button, field, h, put, say } from "./dom.js";
import { act, again, heading, part, roleName, roles, when } from "./parts.js";
import { api, stepUp, user } from "./session.js";
import { t } from "./words.js";

export async function showUser(main, id) {
  const { hash } = location;
  let u;
  try {
    u = await api.json("GET", "/users/" + encodeURIComponent(id));
  } catch (error) {
    if (error.code !== "not_found") throw error;
    return put(main, back(), heading(t("users.gone")), h("p", null, h("a", { href: "#/audit?user_id=" + encodeURIComponent(id) }, t("users.events"))));
  }
  if (location.hash !== hash) return; // the person has gone on
  const own = u.id === user().id;
  // change opens a dialog for a change that the server may want a proof for, and shows the user anew.
  const change = (id, title, text, options, work, said = t("record.saved")) => button(title, async () => {
    const done = await act(title, text, options, (values) => stepUp((proof) => work(values, proof)).catch(plain));
    if (!done) return;
    say(said);
    await again(main, () => showUser(main, u.id));
  }, { id });
  const patch = (values, proof) => api.json("PATCH", "/users/" + u.id, { ...values, ...proof });
  const named = { user: u.user };
  put(main, back(),
    h("div", { class: "title" }, heading(u.user), own && h("span", { class: "mark" }, t("users.you"))),
    h("p", { class: "muted" }, t("users.since"), " ", when(u.created_at), " · ",
      h("a", { href: "#/audit?user_id=" + u.id }, t("users.events"))),
    own && h("p", null, t("users.own"), " ", h("a", { href: "#/account" }, t("place.account"))),
    part(t("field.email"), undefined, h("p", { class: "fact" }, u.email || h("span", { class: "muted" }, t("account.email_none"))),
      !own && actions(change("email", t("account.email_change"), t("users.email_text", named), {
        fields: [field({ name: "email", label: t("field.email"), type: "email", value: u.email, spellcheck: false })],
      }, patch))),
    part(t("users.role"), t("users.role_hint"), h("p", { class: "fact" }, roleName(u.role)),
      !own && actions(change("role", t("users.role_change"), t("users.role_text", named), {
        fields: [field({ name: "role", label: t("users.role"), value: u.role, options: roles() })],
      }, patch))),
    part(t("users.state"), undefined, h("p", { class: "fact" }, u.disabled ? t("users.disabled") : t("users.active")),
      !own && actions(u.disabled
        ? change("state", t("users.enable"), t("users.enable_text", named), {}, (_, proof) => patch({ disabled: false }, proof))
        : change("state", t("users.disable"), t("users.disable_text", named), { danger: true },
          (_, proof) => patch({ disabled: true }, proof)))),
    !own && part(t("users.access"), t("users.access_about"), actions(
      change("sessions", t("users.sessions_end"), t("users.sessions_text", named), { danger: true },
        (_, proof) => api.json("DELETE", `/users/${u.id}/sessions`, proof), t("users.sessions_done", named)),
      change("mfa", t("users.mfa_end"), t("users.mfa_text", named), { danger: true },
        (_, proof) => api.json("DELETE", `/users/${u.id}/mfa`, proof).catch(none), t("users.mfa_done", named)))),
    !own && part(t("users.delete"), t("users.delete_about"), actions(button(t("users.delete"), remove, { class: "danger" }))));

  async function remove() {
    const done = await act(t("users.delete"), t("users.delete_text", named), { danger: true,
      fields: [field({ name: "erase", label: t("users.erase"), value: "false", options: [["false", t("users.erase_no")], ["true", t("users.erase_yes")]] })] },
      ({ erase }) => stepUp((proof) => api.json("DELETE", `/users/${u.id}?erase=${erase}`, proof)).catch(plain));
    if (!done) return;
    say(t("users.deleted", named));
    location.hash = "#/users";
  }
}

const back = () => h("p", { class: "back" }, h("a", { href: "#/users" }, "← ", t("place.users")));

// plain says in plain words that somebody is the last admin.
function plain(error) {
  throw error.errors?.some((f) => f.code === "last_admin") ? { code: "last_admin", message: t("users.last_admin") } : error;
}

function none(error) {
  throw error.code === "not_found" ? { code: "no_second_factor", message: t("users.mfa_none") } : error;
}
