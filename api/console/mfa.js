// The second factor: set up by QR code, confirmed by a code, ten recovery codes, and off again.
import { actions, button, dialog, field, form, h, put, saveFile, say } from "./dom.js";
import { act, heading, part } from "./parts.js";
import { api, logout, proofFields } from "./session.js";
import { t } from "./words.js";

export function mfaPart(me, redraw) {
  const setUp = async () => {
    const box = h("div");
    const opened = dialog(t("account.mfa_set_up"), box);
    steps(box, () => opened.close(true), () => opened.close(false));
    await opened.closed;
    await redraw();
  };
  const renew = async () => {
    let codes;
    const done = await act(t("account.recovery_renew"), t("account.recovery_text"), {
      fields: proofFields(me),
    }, async (values) => ({ recovery_codes: codes } = await api.json("POST", "/me/mfa/recovery", values)));
    if (!done) return;
    const box = h("div");
    const opened = dialog(t("account.recovery_renew"), box);
    showCodes(box, codes, () => opened.close(true));
  };
  const end = () => act(t("account.mfa_end"), t("account.mfa_end_text"), {
    fields: proofFields(me), danger: true,
  }, (values) => api.json("DELETE", "/me/mfa", values)).then((done) => done && redraw());
  return part(t("account.mfa"), t("account.mfa_about"),
    h("p", { class: "fact" }, me.mfa ? t("account.mfa_on") : t("account.mfa_off")),
    actions(me.mfa
      ? [button(t("account.recovery_renew"), renew, { id: "mfa-renew" }), button(t("account.mfa_end"), end, { id: "mfa-end" })]
      : button(t("account.mfa_set_up"), setUp, { id: "mfa-set-up" })));
}

// showSetUp is the one page of a user who must have a second factor and has none yet.
export function showSetUp(main, me) {
  const box = h("div", { class: "narrow" });
  put(main, heading(t("account.mfa_set_up")), h("p", null, me.mfa ? t("account.mfa_again") : t("account.mfa_must")), box);
  if (me.mfa) put(box, button(t("action.login"), logout, { class: "main" }));
  else steps(box, () => location.assign("/app/"));
}

// steps fills box with one step after the other: the password, the code of the app, the recovery codes.
function steps(box, done, cancel) {
  put(box, form({ fields: proofFields({}), submit: t("action.continue"), cancel }, async (values) => {
    const enrolment = await api.json("POST", "/me/mfa", values);
    const code = field({ name: "code", label: t("account.mfa_code"), autocomplete: "one-time-code", required: true });
    code.querySelector("input").inputMode = "numeric";
    put(box, h("p", null, t("account.mfa_scan")), qr(enrolment),
      h("p", null, h("a", { href: enrolment.uri }, t("account.mfa_phone"))),
      h("p", { class: "muted" }, t("account.mfa_type")), h("code", { class: "key" }, enrolment.secret.match(/.{1,4}/g).join(" ")),
      form({ fields: [code], submit: t("account.mfa_switch_on"), cancel }, async ({ code }) => {
        const { recovery_codes } = await api.json("POST", "/me/mfa/confirm", { code });
        showCodes(box, recovery_codes, done); // whatever happens next, nobody can show them later
        await api.refresh(); // the next token is good for everything, also where a second factor is required
      }));
    code.querySelector("input").focus();
  }));
}

// qr draws the QR code of a second factor.
function qr({ qr: path, qr_size: size }) {
  const SVG = "http://www.w3.org/2000/svg";
  const image = document.createElementNS(SVG, "svg");
  const dots = document.createElementNS(SVG, "path");
  const own = { class: "qr", role: "img", "aria-label": t("account.mfa_qr"), viewBox: `0 0 ${size} ${size}` };
  for (const [name, value] of Object.entries(own)) image.setAttribute(name, value);
  dots.setAttribute("d", path);
  image.append(dots);
  return image;
}

// showCodes shows the recovery codes, which nobody can read again.
function showCodes(box, codes, done) {
  const text = codes.join("\n") + "\n";
  const title = h("h2", { tabIndex: -1 }, t("account.recovery_keep"));
  put(box, title, h("p", null, t("account.recovery_about")),
    h("ol", { class: "codes" }, codes.map((c) => h("li", null, h("code", null, c)))),
    actions(
      copyButton(text),
      button(t("action.download"), () => saveFile("clientes-recovery-codes.txt", new Blob([text]))),
      button(t("account.recovery_done"), done, { class: "main" })));
  title.focus();
}

// copyButton copies a text. Browsers allow that only over https and on the machine itself.
export const copyButton = (text) => navigator.clipboard && button(t("account.copy"), async () => {
  await navigator.clipboard.writeText(text);
  say(t("account.copied"));
});
