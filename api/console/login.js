// The login page. Its form works without this module, which adds what a form cannot do: the code of
// a second factor on the same page, puzzles, and the links of mails.
import { connect } from "/client.js";

const form = document.querySelector("form");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  await connect("", { cookie: true }).login(form.user.value, form.password.value);
  location.replace("/app/");
});
