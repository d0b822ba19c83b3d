// The one login of this tab.
import { connect } from "/client.js";

export const api = connect("", { cookie: true, onEnd: () => location.replace("/login") });
