import { h, put } from "./dom.js";
import { t } from "./words.js";

export async function show(main, path, query) {
  put(main, h("h1", null, t("place.users")));
}
