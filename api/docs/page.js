import { connect } from "../client.js";

// The page asks nobody but the server that it came from, and forgets the login when it is closed.
// It shows this word in place of a token. What is sent has the token that client.js has then.
const TOKEN = "$TOKEN";
const scheme = "accessToken"; // in openapi.yaml
const api = connect("", { onEnd: (code) => ended(code === "logged_out" ? "" : "The session has ended. Log in again.") });

const element = (id) => document.getElementById(id);
const form = element("login");

const spec = await (await fetch("openapi.json")).json();
hint(new URL(spec.servers[0].url).origin);
spec.servers = [{ url: location.origin }];

const ui = SwaggerUIBundle({
	dom_id: "#api",
	spec,
	deepLinking: true,
	displayRequestDuration: true,
	defaultModelsExpandDepth: 0,
	persistAuthorization: false,
	showExtensions: true,
	validatorUrl: null,
	requestInterceptor(request) {
		if (request.headers["x-access-token"] === TOKEN) {
			request.userFetch = (url, options) => api.fetch(url.slice(location.origin.length), options);
		}
		return request;
	},
});
element("top").hidden = false;

form.addEventListener("submit", async (event) => {
	event.preventDefault();
	const button = form.querySelector("button");
	const { user, password, code } = form.elements;
	button.disabled = true;
	say("");
	try {
		const options = { onPuzzle: () => say("Too many attempts: solving a puzzle in place of waiting …") };
		if (code.value) options.code = code.value;
		const who = await api.login(user.value, password.value, options);
		form.reset();
		ask(false);
		element("name").textContent = `${who.user} (${who.role})`;
		ui.preauthorizeApiKey(scheme, TOKEN);
		show(true);
		say("The requests below have your token.");
	} catch (error) {
		const second = error.code === "mfa_required" || error.code === "mfa_invalid";
		if (second) ask(true);
		say(error.code === "mfa_required" ? "Enter a code of your authenticator app, or a recovery code." : error.message, error.code !== "mfa_required");
		(second ? code : password).focus();
	} finally {
		button.disabled = false;
	}
});

element("logout").addEventListener("click", async () => {
	try {
		await api.logout();
		ended("");
	} catch (error) {
		say(error.message, true);
	}
});

function ended(message) {
	ui.authActions.logout([scheme]);
	show(false);
	say(message, message !== "");
	form.elements.user.focus();
}

function show(loggedIn) {
	form.hidden = loggedIn;
	element("who").hidden = !loggedIn;
}

function ask(second) {
	element("second").hidden = !second;
	form.elements.code.required = second;
}

function say(text, fault = false) {
	element("message").textContent = text;
	element("message").classList.toggle("fault", fault);
}

// The login of this page works at any address of the server; cookies and links in mail do not.
function hint(server) {
	const loopback = (origin) => /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:|$)/.test(origin);
	if (server === location.origin || (loopback(server) && loopback(location.origin))) return;
	element("hint").hidden = false;
	element("hint").textContent =
		`You have opened ${location.origin}, but the server's own address is ${server}. ` +
		"If that is wrong, whoever runs the server sets PUBLIC_URL.";
}
