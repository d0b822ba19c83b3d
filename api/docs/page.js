"use strict";

// The page asks nobody but the server that it came from, and forgets the token when it is closed.
SwaggerUIBundle({
	dom_id: "#api",
	url: "openapi.json",
	deepLinking: true,
	displayRequestDuration: true,
	defaultModelsExpandDepth: 0,
	persistAuthorization: false,
	showExtensions: true,
	validatorUrl: null,
});
